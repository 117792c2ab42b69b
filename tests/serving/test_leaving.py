"""What our own server notices of a client that it does not read, and how it ends what must not look whole."""

from __future__ import annotations

import socket
import struct

import anyio
import pytest

from callboard.serving.http1.leaving import has_left
from tests.fakes.anything import EMPTY_LIST, Line
from tests.fakes.proxied import Witness, proxied
from tests.fakes.relayed import Leave
from tests.serving.proxy.test_proxy_streams import MIB, head, upload_head

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("leave", ["fin", "rst", "shutdown", "stays"])
def test_a_peer_that_has_closed_or_reset_its_side_is_seen_behind_what_was_not_read(leave: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        with ours, peer:
            peer.sendall(b"unread")
            assert ours.recv(6, socket.MSG_PEEK) == b"unread"
            assert not has_left(ours.fileno())
            if leave == "rst":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if leave == "shutdown":
                peer.shutdown(socket.SHUT_WR)
            elif leave != "stays":
                peer.close()
            assert has_left(ours.fileno()) is (leave != "stays")


@pytest.mark.parametrize("leave", ["fin", "rst"])
async def test_a_client_that_leaves_while_it_is_not_read_is_noticed(leave: Leave) -> None:
    async def script(line: Line) -> None:
        await line.until_left()

    config = {"server": {"max_concurrency": 1}}
    async with proxied(script, config=config) as over:
        with anyio.fail_after(5), Witness(over.server.port) as first:
            first.send(head("GET"))
            await over.upstream.asked(0)
            second = Witness(over.server.port)
            await second.send_all(upload_head("length", MIB) + bytes(200_000))  # more than is taken in early
            while over.server.admission.in_work < 2:
                await anyio.lowlevel.checkpoint()
            second.leave(leave)
            while over.server.admission.in_work > 1:
                await anyio.lowlevel.checkpoint()
            (line,) = await over.closing_lines()
    assert (line["error_type"], line["status"]) == ("cancelled", "499")
    assert len(over.upstream.requests) == 1


async def test_a_client_that_leaves_a_clogged_upload_ends_it() -> None:
    """By RST; with FIN nobody can tell: it stands in line behind what was not read."""
    over_by_then = anyio.Event()

    async def script(line: Line) -> None:
        await over_by_then.wait()
        await line.until_left()

    async with proxied(script, config={"server": {"max_body_bytes": 64 * MIB}}) as over:
        with anyio.fail_after(8):
            caller = Witness(over.server.port)
            caller.send(upload_head("length", 50 * MIB))
            with anyio.move_on_after(0.5):  # until all buffers are full
                await caller.send_all(bytes(50 * MIB))
            caller.leave("rst")
            while over.server.admission.in_work:
                await anyio.lowlevel.checkpoint()
            over_by_then.set()
            await over.upstream.requests[0].left.wait()


async def test_a_connection_is_read_again_after_a_body_that_came_while_its_request_stood_in_line() -> None:
    gate = anyio.Event()

    async def script(line: Line) -> None:
        await gate.wait()
        await line.body()
        await line.send(EMPTY_LIST)

    async with proxied(script, config={"server": {"max_concurrency": 1}}) as over:
        with anyio.fail_after(4), Witness(over.server.port) as first, Witness(over.server.port) as second:
            first.send(head("GET"))
            await over.upstream.asked(0)
            second.send(upload_head("length", 100_000))
            while over.server.admission.in_work < 2:
                await anyio.lowlevel.checkpoint()
            await second.send_all(bytes(100_000))
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            gate.set()
            await second.see(b"[]")
            second.send(head("GET").replace(b"/v1/files", b"/health"))
            await second.see(b"running")
