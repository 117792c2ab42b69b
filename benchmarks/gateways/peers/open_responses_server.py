"""open-responses-server: FastAPI and httpx."""

from __future__ import annotations

from benchmarks.gateways.gateway import Gateway, Launch, Site, install_from_pypi, version_in


def _launch(site: Site) -> Launch:
    uvicorn = (
        str(site.home / "bin" / "python"),
        "-m",
        "uvicorn",
        "open_responses_server.server_entrypoint:app",
    )
    # Its own command runs the same without these options; uvicorn logs each request there.
    options = ("--http", "httptools", "--loop", "uvloop", "--no-access-log")
    return Launch(
        argv=(*uvicorn, "--host", "127.0.0.1", "--port", str(site.port), *options),
        env={"OPENAI_BASE_URL_INTERNAL": site.upstream_url, "OPENAI_API_KEY": "sk-upstream"},
    )


GATEWAYS = (
    Gateway(
        name="open-responses-server",
        about="open-responses-server",
        version=version_in("open-responses-server"),
        launch=_launch,
        install=install_from_pypi("open-responses-server"),
    ),
)
