"""OGX, which was Llama Stack: its inference API alone, before an OpenAI endpoint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.gateways.gateway import Gateway, Launch, Site, install_from_pypi, version_in
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.scenarios import MODELS

CONFIG = """\
version: 2
distro_name: bench
apis: [inference]
providers:
  inference:
  - provider_id: up
    provider_type: remote::openai
    config:
      api_key: sk-upstream
      base_url: {upstream}/v1
storage:
  backends:
    kv_default: {{type: kv_sqlite, db_path: {work}/kv.db}}
    sql_default: {{type: sql_sqlite, db_path: {work}/sql.db}}
  stores:
    metadata: {{namespace: registry, backend: kv_default}}
    inference: {{table_name: inference_store, backend: sql_default, enabled: false}}
    conversations: {{table_name: conversations, backend: sql_default}}
    prompts: {{table_name: prompts, backend: sql_default}}
    connectors: {{table_name: connectors, backend: sql_default}}
registered_resources:
  models:
{models}
server:
  host: 127.0.0.1
  port: {port}
"""
MODEL = (
    "  - {{metadata: {{}}, model_id: {name}, provider_id: up, provider_model_id: {name}, model_type: llm}}"
)


def _install(home: Path) -> None:
    if sys.version_info >= (3, 12):
        python = sys.executable
    else:
        candidates = [found for minor in (13, 12) if (found := shutil.which(f"python3.{minor}"))]
        works = (each for each in candidates if subprocess.run((each, "-V"), check=False).returncode == 0)
        found = next(works, None)
        if found is None:
            raise CannotMeasureError(
                "OGX needs Python 3.12 or later, as python3.12 or python3.13 on the path"
            )
        python = found
    install_from_pypi("ogx", python)(home)


def _launch(site: Site) -> Launch:
    models = "\n".join(MODEL.format(name=name) for name in MODELS)
    text = CONFIG.format(upstream=site.upstream_url, work=site.work, models=models, port=site.port)
    file = site.write("ogx.yaml", text)
    return Launch(
        argv=(str(site.home / "bin" / "ogx"), "run", file, "--insecure", "--port", str(site.port)),
        env={
            "OGX_LOGGING": "all=error,server=error",
            "OGX_CONFIG_DIR": str(site.work),
            "HF_HUB_OFFLINE": "1",
        },
        prefix="up/",
        stream_end='"usage":null}',  # no [DONE] comes
    )


GATEWAYS = (
    Gateway(
        name="ogx",
        about="OGX",
        version=version_in("ogx"),
        launch=_launch,
        install=_install,
        start_s=90,
    ),
)
