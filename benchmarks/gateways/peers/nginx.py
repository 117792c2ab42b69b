"""nginx, the physical neighbour: it knows nothing of models, limits or prices, and shows what can be done."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.gateways.gateway import Gateway, Launch, Site

CONFIG = """\
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 24576; }}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    client_body_buffer_size 1m;
    client_max_body_size 32m;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    tcp_nodelay on;
    upstream mock {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _version(_home: Path) -> str | None:
    program = _program()
    if program is None:
        return None
    said = subprocess.run((program, "-v"), capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else None


def _launch(site: Site) -> Launch:
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    text = CONFIG.format(work=site.work, user=user, upstream=site.upstream, port=site.port)
    file = site.write("nginx.conf", text)
    return Launch(argv=(_program() or "nginx", "-p", str(site.work), "-e", "stderr", "-c", file))


GATEWAYS = (Gateway(name="nginx", about="nginx, one worker", version=_version, launch=_launch),)
"""Installed by the system's package manager (Debian: nginx-light)."""
