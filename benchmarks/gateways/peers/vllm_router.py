"""vllm-router: the vLLM project's load balancer, in Rust."""

from __future__ import annotations

from benchmarks.gateways.gateway import Gateway, Launch, Site, install_from_pypi, version_in
from benchmarks.gateways.processes import free_port


def _launch(site: Site) -> Launch:
    where = ("--host", "127.0.0.1", "--port", str(site.port), "--worker-urls", site.upstream_url)
    # One upstream needs no policy that looks at prompts, and the metrics' port must not collide.
    options = ("--policy", "round_robin", "--log-level", "warning", "--max-concurrent-requests", "16384")
    metrics = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
    return Launch(argv=(str(site.home / "bin" / "vllm-router"), *where, *options, *metrics))


GATEWAYS = (
    Gateway(
        name="vllm-router",
        about="vllm-router (Rust)",
        version=version_in("vllm-router"),
        launch=_launch,
        install=install_from_pypi("vllm-router"),
    ),
)
