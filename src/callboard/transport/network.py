"""The network as the general client's engine sees it: guarded when it dials, watched while it talks."""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable

import anyio
import httpcore2

from callboard.transport.guard import DialGuard

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects the engine to addresses that the guard has judged, and to nothing else; no unix sockets."""

    def __init__(self, guard: DialGuard) -> None:
        self._guard = guard
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the engine's protocol
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, judge, and try the addresses in order, each with its share of the time."""
        until = anyio.current_time() + (math.inf if timeout is None else timeout)
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        with anyio.CancelScope(deadline=until):
            addresses = await self._guard.addresses(host, port)
            for position, address in enumerate(addresses):
                share = (until - anyio.current_time()) / (len(addresses) - position)
                try:
                    stream = await self._inner.connect_tcp(
                        address, port, share, local_address, socket_options
                    )
                    return WatchedStream(stream)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                    failure = error
        raise failure or httpcore2.ConnectTimeout("connecting took too long")


class WatchedStream(httpcore2.AsyncNetworkStream):
    """A stream that remembers whether anything was read since the last write.

    The engine keeps bytes that follow an answer and takes them for the next one. An answer that needed no
    read after its request was written is such a leftover.

    Attributes:
        heard: Whether anything was read since the last write.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self.heard = False
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read, and note it."""
        data = await self._stream.read(max_bytes, timeout)
        self.heard = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write, and forget what was heard before."""
        self.heard = False
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Watch the stream inside TLS from now on; where the handshake fails or is cancelled, close it.

        Until there is TLS, the engine has nothing that it could close.
        """
        try:
            return WatchedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise

    def get_extra_info(self, info: str) -> object:
        """What the engine wants to know about the stream."""
        return self._stream.get_extra_info(info)


def answered_before_asked(response: httpcore2.Response) -> bool:
    """Whether an HTTP/1 answer was there before its request was written: somebody else's, or poison."""
    stream = response.extensions.get("network_stream")
    return (
        isinstance(stream, WatchedStream)
        and response.extensions["http_version"] != b"HTTP/2"
        and not stream.heard
    )
