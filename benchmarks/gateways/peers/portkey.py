"""Portkey's gateway, on Node.

Its streams fail ("TypeError: immutable") with the @hono/node-server that npm would choose: see issue 1389 of
Portkey-AI/gateway. So peers/portkey.json asks for an older one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.gateways.gateway import REQUIREMENTS, Gateway, Launch, Site

PACKAGE = Path("node_modules", "@portkey-ai", "gateway")


def _install(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REQUIREMENTS / "portkey.json", home / "package.json")
    npm = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    subprocess.run(npm, cwd=home, check=True)


def _version(home: Path) -> str | None:
    about = home / PACKAGE / "package.json"
    if not about.exists() or shutil.which("node") is None:
        return None
    return str(json.loads(about.read_text())["version"])


def _launch(site: Site) -> Launch:
    start = site.home / PACKAGE / "build" / "start-server.js"
    return Launch(
        argv=("node", str(start), f"--port={site.port}", "--headless"),
        env={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers=(
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", f"{site.upstream_url}/v1"),
        ),
    )


GATEWAYS = (
    Gateway(name="portkey", about="Portkey (Node)", version=_version, launch=_launch, install=_install),
)
