"""A WebSocket client that can also do what no client may: frames are bytes that a test may make itself."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.abc import SocketStream
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage

from tests.oracles.responses_lifecycle import Data
from tests.oracles.responses_lifecycle import Event as StreamEvent

TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}


def handshake(path: str = "/v1/responses", /, **fields: str | None) -> bytes:
    """The client's half of the handshake; a field of None is left out."""
    every: dict[str, str | None] = {
        "host": "localhost",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_version": "13",
        "sec_websocket_key": base64.b64encode(bytes(16)).decode(),
        **fields,
    }
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in every.items() if value is not None]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def frame(
    payload: bytes,
    opcode: int = 1,
    *,
    fin: bool = True,
    mask: bool = True,
    bits: int = 0,
    length: int | None = None,
) -> bytes:
    """A frame of a client's.

    Args:
        payload: Before masking.
        opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
        fin: Whether it is the last of its message.
        mask: Clients must.
        bits: The reserved bits.
        length: What the header says, where that is not true.
    """
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | bits << 4 | opcode])
    masked = mask << 7
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    # A key of zeros masks nothing.
    return head + (bytes(4) if mask else b"") + payload


class SocketClient:
    """One connection, upgraded.

    Attributes:
        head: The server's answer to the handshake.
        closed: The code that the server closed with; None before.
        pings: Payloads of the pings that came.
    """

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.head = b""
        self.closed: int | None = None
        self.reason: str | None = None
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.answers_pings = True
        self._frames = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._text = ""

    async def open(self, head: bytes) -> int:
        """Shake hands; the status of the answer."""
        await self.stream.send(head)
        while b"\r\n\r\n" not in self.head:
            self.head += await self.stream.receive()
        self.head, _, rest = self.head.partition(b"\r\n\r\n")
        status = int(self.head.split(b" ")[1])
        if status == 101:
            self._frames.receive_data(rest)
        else:
            self.head += b"\r\n\r\n" + rest
        return status

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send(data)

    async def say(self, message: object) -> None:
        """Send a text message: a string as it is, all else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.stream.send(self._frames.send(TextMessage(data=text)))

    async def create(self, given: object = "hi", **more: object) -> None:
        """Ask for a response."""
        await self.say({"type": "response.create", "model": "demo-model", "input": given, **more})

    async def hear(self) -> str | None:
        """The next text message; None when the server has closed, and said so."""
        while True:
            for event in self._frames.events():
                match event:
                    case TextMessage():
                        self._text += event.data
                        if event.message_finished:
                            text, self._text = self._text, ""
                            return text
                    case CloseConnection():
                        self.closed, self.reason = event.code, event.reason
                        await self._answer_goodbye(event)
                        return None
                    case Ping():
                        self.pings.append(bytes(event.payload))
                        if self.answers_pings:
                            await self.stream.send(self._frames.send(event.response()))
                    case _:
                        self.pongs.append(bytes(getattr(event, "payload", b"")))
            self._frames.receive_data(await self.stream.receive())

    async def _answer_goodbye(self, event: CloseConnection) -> None:
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            with suppress(anyio.BrokenResourceError):
                await self.stream.send(self._frames.send(event.response()))

    async def event(self) -> Data:
        """The next message, which must be an event."""
        text = await self.hear()
        assert text is not None, (self.closed, self.reason)
        data: Data = json.loads(text)
        return data

    async def turn(self) -> list[Data]:
        """The events up to the last of a turn."""
        events = [await self.event()]
        while events[-1]["type"] not in TERMINAL:
            events.append(await self.event())
        return events

    async def ended(self) -> int | None:
        """Read until the server has closed; the code it gave, None where it said nothing."""
        try:
            while await self.hear() is not None:
                pass
            while True:
                await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return self.closed

    async def leave(self) -> None:
        """Say goodbye, and wait for the server to do so."""
        await self.stream.send(self._frames.send(CloseConnection(code=1000)))
        await self.ended()


@asynccontextmanager
async def connected(
    port: int, head: bytes | None = None, *, expect: int = 101
) -> AsyncIterator[SocketClient]:
    """An open socket; closed without a word when the block is left."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = SocketClient(stream)
        with anyio.fail_after(5):
            assert await client.open(handshake() if head is None else head) == expect, client.head
        yield client


def stream_of(events: list[Data]) -> list[StreamEvent]:
    """Events as `tests.oracles.responses_lifecycle` has them."""
    return [StreamEvent(event["type"], event) for event in events]


def text_in(event: Mapping[str, Any]) -> str:
    """What the response of a terminal event says."""
    return "".join(part["text"] for item in event["response"]["output"] for part in item.get("content", ()))
