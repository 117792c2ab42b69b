"""What the checks of an ``HttpClient`` stand on: a client, a scripted server, and no leaks afterwards."""

import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
from msgspec import Struct

from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpClient, HttpRequest, HttpResponse, Limits, Timeouts
from tests.fakes.http_server import HttpServer, Script, serve

LONG = b"x" * 300_000


class Settings(Struct, frozen=True, kw_only=True):
    """What a test asks of the client it is given."""

    guard: DialGuard = DialGuard(frozenset({"127.0.0.1", "localhost"}))
    capacity: int = 10
    limits: Limits = Limits()
    tls: ssl.SSLContext | None = None


def post(server: HttpServer, body: bytes = b"{}", *, timeouts: Timeouts | None = None) -> HttpRequest:
    return HttpRequest(method="POST", url=server.url, body=body, timeouts=timeouts or Timeouts())


def get(server: HttpServer, *, timeouts: Timeouts | None = None) -> HttpRequest:
    return HttpRequest(method="GET", url=server.url, timeouts=timeouts or Timeouts())


async def read(client: HttpClient, request: HttpRequest) -> bytes:
    async with await client.send(request) as response:
        return await response.read()


async def pieces(response: HttpResponse) -> list[bytes]:
    return [piece async for piece in response]


def is_at_rest(client: HttpClient) -> bool:
    now = client.statistics()
    return now.in_use == 0 and now.waiting == 0 and now.open == now.idle


class HttpWorld(ABC):
    """Builds a client and a real server on the loopback interface for each check."""

    random_cancels: ClassVar[dict[str, int]] = {"asyncio": 300, "uvloop": 300, "trio": 300}

    @abstractmethod
    def build(self, settings: Settings) -> HttpClient:
        """A fresh client."""

    @asynccontextmanager
    async def world(
        self, script: Script, settings: Settings | None = None
    ) -> AsyncIterator[tuple[HttpServer, HttpClient]]:
        """A server and a client; afterwards no socket may be left open."""
        with anyio.fail_after(30):
            async with serve(script) as server:
                client = self.build(settings or Settings())
                try:
                    yield server, client
                    assert is_at_rest(client)
                finally:
                    await client.aclose()
                assert client.statistics().open == 0
                await server.until_open(0)
