"""How tests speak to `tests.fakes.mcp_guarded`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from callboard.secret import Secret
from callboard.tools.mcp import HttpServer, OAuthSettings, ServerSettings

SCRIPT = str(Path(__file__).with_name("mcp_guarded.py"))
CANARY = "canary-of-a-token"
NOBODY = "https://issuer.invalid"


class Guarded(Struct, frozen=True, kw_only=True):
    """A running server with its authorization server."""

    issuer: str
    url: str

    def settings(self, login: Path | None, **oauth: object) -> ServerSettings:
        """The server, configured."""
        held = replace(OAuthSettings(issuers=(self.issuer,), login=login), **oauth)
        way = HttpServer(url=self.url, headers={"X-Secret": Secret("s3cret")}, oauth=held)
        return ServerSettings(name="far", way=way)

    def tell(self, what: str) -> bytes:
        """Have the authorization server be, or do, something."""
        parts = urlsplit(self.issuer)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        try:
            connection.request("GET", what)
            return connection.getresponse().read()
        finally:
            connection.close()

    def seen(self) -> list[dict[str, object]]:
        """What the authorization server was sent."""
        found: list[dict[str, object]] = json.loads(self.tell("/_seen"))
        return found

    def paths(self) -> list[object]:
        """Where it was sent that to."""
        return [each["path"] for each in self.seen()]


@contextmanager
def guarded(life_s: int = 3600) -> Iterator[Guarded]:
    """Both, in a process of their own."""
    command = [sys.executable, SCRIPT, str(life_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        with process.stdout:
            yield Guarded(**json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
