"""LiteLLM's proxy, with the OpenTelemetry SDK installed: without it, each call looks for it in vain."""

from __future__ import annotations

from benchmarks.gateways.gateway import Gateway, Launch, Site, install_from_pypi, version_in
from benchmarks.gateways.scenarios import MODELS

MODEL = """\
  - model_name: {name}
    litellm_params:
      model: openai/{name}
      api_base: {upstream}/v1
      api_key: sk-upstream
"""
SETTINGS = """\
litellm_settings:
  num_retries: 0
  request_timeout: 120
"""


def _launch(site: Site) -> Launch:
    models = "".join(MODEL.format(name=name, upstream=site.upstream_url) for name in MODELS)
    file = site.write("litellm.yaml", "model_list:\n" + models + SETTINGS)
    where = ("--host", "127.0.0.1", "--port", str(site.port))
    return Launch(
        argv=(str(site.home / "bin" / "litellm"), "--config", file, *where, "--telemetry", "False"),
        # Prices from the package, not the network; a production log level; no key to check: the least work.
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    )


GATEWAYS = (
    Gateway(
        name="litellm",
        about="LiteLLM proxy + OTel SDK",
        version=version_in("litellm"),
        launch=_launch,
        install=install_from_pypi("litellm"),
        start_s=90,
    ),
)
