"""OpenAI, and everything that speaks its chat completions dialect, at whatever URL.

The key goes to the configured URL and nowhere else: the transport follows no redirects, and every request is
made for ``base_url`` + ``/chat/completions``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Literal, Protocol

import anyio
from msgspec import Struct

from callboard.domain.delta import GenerationEvent, GenerationStopped
from callboard.domain.fold import events_of
from callboard.domain.steps import Steps, in_turns
from callboard.errors import ConfigurationError, Failure, LocalWireError, RemoteWireError, UpstreamError
from callboard.providers.forwarding import forwarded_headers, forwarded_url
from callboard.providers.handler import ForwardedRequest, ProviderCall
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.rate_limit_headers import RateLimitHeaders, parse_rate_limits
from callboard.providers.settings import ProviderSettings, options_as
from callboard.transport.guard import DialGuard, looks_private
from callboard.transport.http import HttpClient, HttpRequest, HttpResponse
from callboard.transport.outgoing import parse_url
from callboard.transport.pooled import PooledClient
from callboard.wire.openai_chat.error import decode_error
from callboard.wire.openai_chat.request import encoding
from callboard.wire.openai_chat.response import decode_response
from callboard.wire.openai_chat.stream import ChunkDecoder
from callboard.wire.sse import SseDecoder

DEFAULT_BASE_URL = "https://api.openai.com/v1"
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_DOCUMENT_BYTES = 8 << 20
"""As of a request. What is passed on undecoded, or streamed, may be as long as the transport allows."""
REST_S = 0.25
BYTES_IN_A_STEP = 16 * 1024
"""So much of a stream is decoded before others get a turn: some milliseconds where its events are small."""


class OpenAIOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a provider of kind ``openai``.

    Attributes:
        api: The dialect it is spoken to in; `callboard.providers.registry` picks the handler by it.
    """

    api: Literal["chat", "responses"] = "chat"


class OpenAIHandler(OpenAIConversions):
    """The eight methods for chat completions, and the relay."""

    dialect: ClassVar[str] = "openai_chat"
    path: ClassVar[str] = "/chat/completions"

    def __init__(self, settings: ProviderSettings, *, client: HttpClient | None = None) -> None:
        """Prepare calls to the configured URL; nothing is opened yet.

        Args:
            settings: What the operator configured.
            client: Used instead of one of our own, and left open.

        Raises:
            ConfigurationError: The URL is none, or a header contradicts the key.
        """
        options_as(OpenAIOptions, settings)
        self._settings = settings
        self._base_url = (settings.base_url or DEFAULT_BASE_URL).rstrip("/")
        self._url = self._base_url + self.path
        self._guard = _guard(settings, self._url)
        self._own_headers = _own_headers(settings)
        headers = (("content-type", "application/json"), *self._own_headers)
        self._headers_of_whole = (*headers, ("accept", "application/json"))
        self._headers_of_stream = (*headers, ("accept", "text/event-stream"))
        self._timeouts = settings.timeouts
        self._timeouts_of_whole = settings.timeouts.whole
        self._timeouts_of_either = settings.timeouts.either
        self._given_client = client
        self._client: HttpClient | None = None

    @asynccontextmanager
    async def initialize_client(self) -> AsyncIterator[None]:
        """Open one client for all calls; leaving closes its connections."""
        if self._given_client is not None:
            self._client = self._given_client
            yield
            return
        self._client = client = self._make_client()
        try:
            yield
        finally:
            self._client = None
            with anyio.CancelScope(shield=True):
                await client.aclose()

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[OpenAIAnswer]:
        """Make the call; the events are the same whether or not the upstream streams."""
        body = await in_turns(
            encoding(call.request, upstream_name=call.upstream_name, traits=call.traits, stream=call.stream)
        )
        async with await self.relay(body, stream=call.stream) as response:
            yield OpenAIAnswer(response, provider=self._settings.name, stream=call.stream)

    async def relay(self, body: bytes, *, stream: bool) -> HttpResponse:
        """Send a body of the dialect as it is; see `callboard.providers.handler.RelayHandler`."""
        request = HttpRequest(
            method="POST",
            url=self._url,
            headers=self._headers_of_stream if stream else self._headers_of_whole,
            body=body,
            timeouts=self._timeouts if stream else self._timeouts_of_whole,
        )
        try:
            response = await self._open_client.send(request)
            if 200 <= response.status < 300:
                return response
            async with response:
                raise decode_error(response.status, response.headers, await _bounded(response))
        except UpstreamError as error:
            # The layers below do not know whom they speak to.
            error.provider = error.provider or self._settings.name
            raise

    async def forward(self, request: ForwardedRequest) -> HttpResponse:
        """Pass any request on; see `callboard.providers.handler.ForwardHandler`."""
        try:
            return await self._open_client.send(
                HttpRequest(
                    method=request.method,
                    url=forwarded_url(self._base_url, request.path, request.query),
                    headers=forwarded_headers(request.headers, self._own_headers),
                    upload=request.upload,
                    raw=True,
                    timeouts=self._timeouts_of_either,
                )
            )
        except UpstreamError as error:
            error.provider = error.provider or self._settings.name
            raise

    @property
    def _open_client(self) -> HttpClient:
        if self._client is None:
            raise Failure(f"provider {self._settings.name!r} is called outside of initialize_client")
        return self._client

    def _make_client(self) -> HttpClient:
        settings = self._settings
        if settings.proxy is None and not settings.http2:
            return PooledClient(guard=self._guard, max_connections_per_host=settings.max_connections)
        # Imported when it is needed: few are, and it brings a whole HTTP library.
        from callboard.transport.general import GeneralClient  # noqa: PLC0415

        return GeneralClient(
            max_connections=settings.max_connections,
            guard=self._guard,
            http2=settings.http2,
            proxy=None if settings.proxy is None else settings.proxy.reveal(),
        )


class OpenAIAnswer:
    """An answer as it arrives. Owned by the call, which closes its response.

    Attributes:
        upstream_request_id: The provider's ``x-request-id``.
    """

    def __init__(self, response: HttpResponse, *, provider: str, stream: bool) -> None:
        self.upstream_request_id: str | None = response.header("x-request-id")
        self._response = response
        self._provider = provider
        self._source = self._source_of(streamed=_is_streamed(response, asked=stream))
        self._ready: deque[GenerationEvent] = deque()
        self._failure: UpstreamError | None = None
        self._complete = False
        self._over = False

    @property
    def rate_limits(self) -> RateLimitHeaders:
        """What its headers said about its limits."""
        return parse_rate_limits(self._response.header)

    def _source_of(self, *, streamed: bool) -> Source:
        """What turns the body into events."""
        return _Chunks() if streamed else _Whole()

    def __aiter__(self) -> OpenAIAnswer:
        return self

    async def __anext__(self) -> GenerationEvent:
        if not self._ready and not self._over:
            await self._read()
        if self._ready:
            event = self._ready.popleft()
            self._complete = isinstance(event, GenerationStopped)
            return event
        if self._failure is not None:
            try:
                raise self._failure
            finally:
                self._failure = None  # the error holds this frame, and through it us
        raise StopAsyncIteration

    def ready(self) -> Sequence[GenerationEvent]:
        """See `callboard.providers.handler.UpstreamBurst`."""
        events = tuple(self._ready)
        if events:
            self._ready.clear()
            self._complete = isinstance(events[-1], GenerationStopped)
        return events

    async def _read(self) -> None:
        """Read until there are events, or the answer is over.

        An error waits until the events before it were handed out, whichever pieces they came in.
        """
        if self._complete:
            self._over = True
            if not self._response.over:
                await self._read_rest()
        try:
            while not self._ready and not self._over:
                await self._read_piece()
        except UpstreamError as error:
            error.provider = error.provider or self._provider
            self._failure = error
            self._over = True

    async def _read_piece(self) -> None:
        try:
            piece = await anext(self._response)
        except StopAsyncIteration:
            self._over = True
            self._ready.extend(self._source.end())
        else:
            await in_turns(self._take(piece))

    def _take(self, piece: bytes) -> Steps[None]:
        self._source.feed(piece[:BYTES_IN_A_STEP], self._ready)
        for start in range(BYTES_IN_A_STEP, len(piece), BYTES_IN_A_STEP):
            yield
            self._source.feed(piece[start : start + BYTES_IN_A_STEP], self._ready)

    async def _read_rest(self) -> None:
        """Take in what follows the last event, mostly the end of the framing: it keeps the connection.

        An upstream that does not end its answer costs the connection, and a caller that wants to hear of the
        end a quarter of a second; the last event has been handed out already.
        """
        with anyio.move_on_after(REST_S), suppress(UpstreamError):
            async for _ in self._response:
                pass


class Source(Protocol):
    """Turns a body into events."""

    def feed(self, piece: bytes, events: deque[GenerationEvent]) -> None:
        """Add the events that a piece completes, also where it then fails."""
        ...

    def end(self) -> Iterator[GenerationEvent]:
        """The events that the body's end completes."""
        ...


class _Chunks:
    """Server-sent events, each a chunk."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._chunks = ChunkDecoder()

    def feed(self, piece: bytes, events: deque[GenerationEvent]) -> None:
        feed, add = self._chunks.feed, events.extend
        for event in self._sse.feed(piece):
            add(feed(event.data))

    def end(self) -> Iterator[GenerationEvent]:
        yield from self._chunks.end()


class _Whole:
    """One JSON document, taken apart into the events that it would have been streamed as."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, piece: bytes, events: deque[GenerationEvent]) -> None:
        if len(self._body) + len(piece) > MAX_DOCUMENT_BYTES:
            raise RemoteWireError(
                f"the upstream's answer is a document of more than {MAX_DOCUMENT_BYTES} bytes"
            )
        self._body += piece

    def end(self) -> Iterator[GenerationEvent]:
        yield from events_of(decode_response(bytes(self._body)))


def _is_streamed(response: HttpResponse, *, asked: bool) -> bool:
    """What the upstream says it sends; some answer a request for a stream with one document."""
    media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type == "text/event-stream":
        return True
    return asked and media_type != "application/json"


async def _bounded(response: HttpResponse) -> bytes:
    """An error's body, as far as it is worth reading; what cannot be read is not."""
    body = bytearray()
    # The status is known and says more than that its explanation was cut.
    with suppress(UpstreamError):
        async for piece in response:
            body += piece
            if len(body) >= MAX_ERROR_BODY_BYTES:
                break
    return bytes(body[:MAX_ERROR_BODY_BYTES])


def _own_headers(settings: ProviderSettings) -> tuple[tuple[str, str], ...]:
    headers = [(name.lower(), value.reveal()) for name, value in settings.headers.items()]
    if settings.api_key is not None:
        if any(name == "authorization" for name, _ in headers):
            raise ConfigurationError(
                f"provider {settings.name!r}: give api_key or an Authorization header, not both"
            )
        headers.append(("authorization", f"Bearer {settings.api_key.reveal()}"))
    return tuple(headers)


def _guard(settings: ProviderSettings, url: str) -> DialGuard:
    try:
        origin, _, _ = parse_url(url)
    except LocalWireError as error:
        raise ConfigurationError(f"provider {settings.name!r}: base_url: {error}") from error
    private = settings.allow_private
    if private is None:
        private = looks_private(origin.host)
    return DialGuard().also_allowing(origin.host, origin.port) if private else DialGuard()
