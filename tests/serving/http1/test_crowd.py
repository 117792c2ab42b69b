"""How many connections one client may have, and all together; addresses that no test machine has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from callboard.serving.exchange import Exchange
from callboard.serving.http1 import Connection, Listener, ListenLimits

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The server runs on asyncio's loops only."""
    return ("asyncio", {"use_uvloop": request.param})


class Line(asyncio.Transport):
    """A connection from an address, without a network.

    Attributes:
        told: What was written to the client.
    """

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 40_000)})
        self.told = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told += bytes(data)

    def can_write_eof(self) -> bool:
        return False


async def answer(exchange: Exchange) -> None:
    raise AssertionError("nothing is asked")


@asynccontextmanager
async def listening(limits: ListenLimits) -> AsyncIterator[Listener]:
    async with anyio.create_task_group() as tasks:
        yield Listener(answer, limits, tasks)
        tasks.cancel_scope.cancel()


def comes(listener: Listener, address: str) -> tuple[Connection, bytes]:
    """A client connects; the connection, and what it is told at once."""
    connection, line = listener.connect(), Line(address)
    connection.connection_made(line)
    return connection, line.told


async def test_one_client_may_not_take_every_connection_and_others_come_in() -> None:
    async with listening(ListenLimits(connections=100, connections_per_address=2)) as listener:
        first, _ = comes(listener, "198.51.100.1")
        assert comes(listener, "198.51.100.1")[1] == b""
        third, refused = comes(listener, "198.51.100.1")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in refused.lower()
        assert b"from your address" in refused
        assert comes(listener, "198.51.100.2")[1] == b""
        for left in (third, first):
            left.connection_lost(None)
        assert comes(listener, "198.51.100.1")[1] == b""


async def test_all_addresses_of_one_ipv6_network_are_one_client() -> None:
    async with listening(ListenLimits(connections_per_address=1)) as listener:
        assert comes(listener, "2001:db8:0:1::1")[1] == b""
        assert b"503" in comes(listener, "2001:db8:0:1::2")[1]
        assert comes(listener, "2001:db8:0:2::1")[1] == b""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "203.0.113.7"])
async def test_loopback_and_trusted_proxies_are_bounded_with_everybody(address: str) -> None:
    limits = ListenLimits(connections=3, connections_per_address=1, trusted_proxies=("203.0.113.0/24",))
    async with listening(limits) as listener:
        for _ in range(3):
            assert comes(listener, address)[1] == b""
        assert b"too many connections" in comes(listener, address)[1]
