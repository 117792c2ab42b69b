"""A served runtime whose generic proxy is on, in front of an upstream that takes any request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from callboard.providers.script import Script as Nothing
from tests.fakes.anything import Anything, Script, empty_list, serve_anything
from tests.fakes.company import Stage
from tests.fakes.relayed import Caller, openai_config
from tests.fakes.served import Carrier, Served, served

KEY = "sk-the-providers-own"
ALLOW = ("GET /v1/files", "GET /v1/files/*", "POST /v1/files", "PUT /v1/files/*", "DELETE /v1/files/*")


class Witness(Caller):
    """A client that tells how its connection ended."""

    async def some(self) -> bytes:
        """The next bytes, which are not kept."""
        await anyio.wait_readable(self._sock)
        data = self._sock.recv(1 << 20)
        assert data, "the server closed"
        return data

    async def ends_with_reset(self) -> bool:
        """Read until the connection ends; whether it was reset rather than closed."""
        while True:
            await anyio.wait_readable(self._sock)
            try:
                data = self._sock.recv(65536)
            except ConnectionResetError:
                return True
            if not data:
                return False
            self.seen += data


class Proxied(Struct, frozen=True, kw_only=True, eq=False):
    """The server, what is behind it, and what it logged."""

    upstream: Anything
    server: Served
    stage: Stage

    async def closing_lines(self, count: int = 1) -> list[dict[str, str]]:
        """The fields of so many requests' closing lines, which come after their answers."""
        with anyio.fail_after(5):
            while len(found := [line for line in self.stage.lines() if "request closed" in line]) < count:
                await anyio.lowlevel.checkpoint()
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in found]


def proxy_config(
    base_url: str, allow: Sequence[str], provider: Mapping[str, object] | None
) -> dict[str, object]:
    """A configuration whose proxy leads to ``base_url``; ``provider`` says more, or other things, of it."""
    config = openai_config(base_url)
    up = {"kind": "openai", "base_url": base_url, "api_key": KEY, **(provider or {})}
    return {**config, "providers": {"up": up}, "proxy": {"enabled": True, "upstream": "up", "allow": allow}}


@asynccontextmanager
async def proxied(
    script: Script = empty_list,
    *,
    allow: Sequence[str] = ALLOW,
    provider: Mapping[str, object] | None = None,
    config: Mapping[str, object] | None = None,
    carrier: Carrier = "own",
) -> AsyncIterator[Proxied]:
    """A server with a proxy in front of ``script``, for the length of the block."""
    stage = Stage(unused=Nothing())
    async with serve_anything(script) as upstream:
        chosen = {**proxy_config(upstream.base_url, allow, provider), **(config or {})}
        async with served(stage, config=chosen, carrier=carrier) as server:
            yield Proxied(upstream=upstream, server=server, stage=stage)
