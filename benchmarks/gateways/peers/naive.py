"""What one writes in half an hour: Starlette, httpx, uvicorn; with all that makes it faster."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gateways.gateway import Gateway, Launch, Site, install_from_pypi, version_in


def _launch(site: Site) -> Launch:
    uvicorn = (str(site.home / "bin" / "python"), "-m", "uvicorn", "naive_app:app")
    options = ("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")
    return Launch(
        argv=(*uvicorn, "--app-dir", str(Path(__file__).parent), "--port", str(site.port), *options),
        env={"UPSTREAM": site.upstream_url},
    )


GATEWAYS = (
    Gateway(
        name="naive",
        about="Starlette + httpx, with sniffio",
        version=version_in("httpx"),
        launch=_launch,
        install=install_from_pypi("naive"),
    ),
)
