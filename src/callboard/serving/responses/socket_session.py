"""The life of one socket: a turn after the other, until one side has had enough.

One task listens as long as the socket lives, so that a client that leaves is noticed at once; a turn runs
beside it. Whatever ends the session waits for the turn in work, but for the client's leaving, which cancels
it.

Source: Open Responses specification, 2026-04-24, "WebSocket Transport": "Servers MUST NOT multiplex multiple
in-flight responses over one connection".
"""

from __future__ import annotations

import math

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from callboard.errors import InvalidRequest
from callboard.serving.exchange import ClientGone, Exchange, Serve
from callboard.serving.failures import status_of
from callboard.serving.house import House
from callboard.serving.responses.socket_memory import Memory
from callboard.serving.responses.socket_message import MessageExchange, error_event
from callboard.serving.socket import BUG, GOING_AWAY, Socket
from callboard.wire.openai_chat.error import encode_error


class Farewell(Struct, frozen=True, kw_only=True):
    """Why we end a session.

    Attributes:
        error: What the client is told before the socket closes; None where the close code says it all.
    """

    reason: str
    error: InvalidRequest | None = None


SHUTTING_DOWN = Farewell(reason="This server is shutting down.")
IDLE = Farewell(reason="Nothing was asked for too long.")
TOO_OLD = Farewell(
    reason="The connection is too old.",
    error=InvalidRequest(
        "This WebSocket connection has reached its time limit. Open a new one to continue.",
        code="websocket_connection_limit_reached",
    ),
)
BUSY = InvalidRequest(
    "A response is in progress on this connection. Wait for its last event, or open another connection.",
    code="response_already_in_progress",
)


class Session:
    """See the module's docstring. Used once.

    Args:
        opening: The request that opened the socket.
        socket: Belongs to the session.
        house: What is behind the doors.
    """

    def __init__(self, opening: Exchange, socket: Socket, house: House) -> None:
        self._opening = opening
        self._socket = socket
        self._house = house
        self._limits = house.sockets
        self._memory = Memory(house.max_body_bytes)
        self._turn: MessageExchange | None = None
        self._over = anyio.Event()  # the turn has come to its end
        self._rests_since = 0.0
        self._farewell: Farewell | None = None

    async def run(self, serve: Serve) -> None:
        """Serve the client's messages until the socket is closed.

        Args:
            serve: Answers one message; raises nothing but a cancellation.
        """
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    await self._listen(serve, tasks)
                except ClientGone as gone:
                    if self._turn is not None:
                        self._turn.stop(gone)
        except Exception as error:  # noqa: BLE001 - the server's edge
            self._house.bug(self._opening.request_id, error)
            await self._socket.close(BUG, "The server had an error.")

    async def _listen(self, serve: Serve, tasks: TaskGroup) -> None:
        self._rests_since = anyio.current_time()
        until = self._rests_since + self._limits.lifetime_s
        while True:
            message = None
            with anyio.move_on_at(min(until, anyio.current_time() + self._limits.idle_s)) as patience:
                message = await self._socket.receive()
            if message is not None:
                await self._take(message, serve, tasks)
                continue
            now = anyio.current_time()
            if not patience.cancelled_caught:
                self._farewell = SHUTTING_DOWN
            elif now >= until:
                self._farewell, until = TOO_OLD, math.inf
            elif self._turn is None and now >= self._rests_since + self._limits.idle_s:
                self._farewell = IDLE
            if self._farewell is not None and self._turn is None:
                await self._leave(self._farewell)
                return

    async def _take(self, message: bytes, serve: Serve, tasks: TaskGroup) -> None:
        """Begin a turn, unless there is one."""
        if self._turn is not None:
            if not self._turn.ending:
                await self._tell(BUSY)
                return
            # The client has seen the end of the last turn before we have.
            await self._over.wait()
        if self._farewell is None:
            self._over = anyio.Event()
            self._turn = MessageExchange(self._opening, self._socket, message, self._memory)
            tasks.start_soon(self._answer, self._turn, serve, tasks)

    async def _answer(self, turn: MessageExchange, serve: Serve, tasks: TaskGroup) -> None:
        with turn.scope:
            await serve(turn)
        self._turn = None
        self._rests_since = anyio.current_time()
        self._over.set()
        if self._farewell is not None:
            await self._leave(self._farewell)
            tasks.cancel_scope.cancel()

    async def _leave(self, farewell: Farewell) -> None:
        if farewell.error is not None:
            await self._tell(farewell.error)
        await self._socket.close(GOING_AWAY, farewell.reason)

    async def _tell(self, error: InvalidRequest) -> None:
        _, event = error_event(status_of(error), encode_error(error))
        await self._socket.send(event)
