"""ResponsesAPIClient: asks any server that speaks the Responses API, over our own transport.

A call is tried again only before the first byte of its answer, where the server may answer it well a little
later (429, 5xx, no connection, no answer in time), after a back-off that doubles, and never earlier than the
server asked. What fails for good is raised, as a member of `callboard.errors.UpstreamError`.

Source: OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Self, TypeAlias

import anyio
import msgspec
from msgspec import UNSET, Struct, UnsetType

from callboard.chats.conversation import ChatMessage
from callboard.chats.response_events import ResponseEvent, decode_response, decode_response_event
from callboard.domain.title import INSTRUCTIONS, clean_title, title_prompt
from callboard.errors import UpstreamError
from callboard.providers.retry import FailedAttempt, RetryPolicy, retry_delay_s
from callboard.secret import Secret
from callboard.transport.http import HttpClient, HttpRequest, HttpResponse, Timeouts
from callboard.wire.openai_chat.error import decode_error
from callboard.wire.sse import SseDecoder

MAX_ERROR_BYTES = 64 * 1024
DONE = b"[DONE]"

CODE_GPT = (
    "You are CodeGPT, an experienced software engineer who knows every programming language and reasons with "
    "care. Write clean, conventional code, and put code in Markdown blocks that name their language."
)

_REASONS = re.compile(r"o[0-9]|gpt-5")
_TAKES_NO_EFFORT = re.compile(r"o1-(?:mini|preview)")
"""They reason, and refuse to be told how much."""


class ResponsesSettings(Struct, frozen=True, kw_only=True):
    """How a server is asked.

    Attributes:
        base_url: Ends where ``/responses`` begins.
        title_model: Finds titles.
        reasoning_effort: For models that reason and can be told how much; None leaves it to them.
        retry: How often and how fast a call is tried again.
    """

    base_url: str
    api_key: Secret | None = None
    model: str = "o1-mini"
    title_model: str = "o3-mini"
    instructions: str = CODE_GPT
    reasoning_effort: str | None = "high"
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()


class _Reasoning(Struct, frozen=True):
    effort: str


class _InputMessage(Struct, frozen=True, kw_only=True):
    role: str
    content: str


Input: TypeAlias = str | Sequence[ChatMessage]
"""What is asked: a text, or the messages of a conversation."""


class _Body(Struct, frozen=True, kw_only=True):
    model: str
    input: str | tuple[_InputMessage, ...]
    stream: bool
    store: bool
    instructions: str
    user: str | UnsetType = UNSET
    previous_response_id: str | UnsetType = UNSET
    reasoning: _Reasoning | UnsetType = UNSET
    truncation: Literal["auto"] | UnsetType = UNSET


class ResponseStream:
    """The events of one answer as they come. Owned by the call, which closes its connection."""

    def __init__(self, response: HttpResponse) -> None:
        self._response = response
        self._decoder = SseDecoder()
        self._ready: list[ResponseEvent] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ResponseEvent:
        """The next event.

        Raises:
            UpstreamError: The answer breaks off, or cannot be read.
        """
        while not self._ready:
            piece = await anext(self._response)
            events = self._decoder.feed(piece)
            self._ready = [decode_response_event(each.data) for each in events if each.data != DONE]
        return self._ready.pop(0)


class ResponsesAPIClient:
    """See the module's docstring.

    Args:
        http: Makes the calls; opened and closed by whoever made it.
        settings: How the server is asked.
        wait: Sleeps between two attempts.
        jitter: A random number from [0, 1); by default from the system.
    """

    def __init__(
        self,
        http: HttpClient,
        settings: ResponsesSettings,
        *,
        wait: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._http = http
        self._settings = settings
        self._wait = wait
        self._jitter = jitter or random.SystemRandom().random

    @asynccontextmanager
    async def create_response(
        self,
        input_text: Input,
        previous_response_id: str | None = None,
        stream: bool = True,
        username: str | None = None,
    ) -> AsyncIterator[AsyncIterator[ResponseEvent]]:
        """Ask, and read the answer's events within the block; leaving it early ends the answer upstream.

        Args:
            input_text: What is asked. Several messages are a conversation, which the server shortens where
                its model's window is too small.
            previous_response_id: The answer that this turn follows.
            stream: Whether the answer comes as it is made; otherwise it is one event.
            username: Tells users apart for the server.

        Raises:
            UpstreamError: There is no answer; out of the iteration, there is no more of it.
        """
        settings = self._settings
        body = _Body(
            model=settings.model,
            input=_input(input_text),
            stream=stream,
            store=True,
            instructions=settings.instructions,
            user=username or UNSET,
            previous_response_id=previous_response_id or UNSET,
            reasoning=self._reasoning(settings.model, settings.reasoning_effort),
            truncation=UNSET if isinstance(input_text, str) else "auto",
        )
        response = await self._send(body)
        async with response:
            if stream:
                yield ResponseStream(response)
            else:
                yield _Whole(await response.read())

    async def generate_conversation_title(self, user_message: str) -> str | None:
        """A title for the conversation that begins with ``user_message``; None where none is found."""
        model = self._settings.title_model
        body = _Body(
            model=model,
            input=title_prompt(user_message),
            stream=False,
            store=False,
            instructions=INSTRUCTIONS,
            reasoning=self._reasoning(model, "low"),
        )
        try:
            async with await self._send(body) as response:
                return clean_title(decode_response(await response.read()).text)
        except UpstreamError:
            return None

    def _reasoning(self, model: str, effort: str | None) -> _Reasoning | UnsetType:
        return _Reasoning(effort) if effort is not None and takes_effort(model) else UNSET

    async def _send(self, body: _Body) -> HttpResponse:
        request = self._request(msgspec.json.encode(body), stream=body.stream)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(request)
            except UpstreamError as error:
                delay_s = retry_delay_s(
                    self._settings.retry,
                    FailedAttempt(error=error, attempt=attempt),
                    jitter=self._jitter(),
                    now_s=0.0,
                    deadline_s=None,
                )
                if delay_s is None:
                    raise
            await self._wait(delay_s)

    async def _attempt(self, request: HttpRequest) -> HttpResponse:
        response = await self._http.send(request)
        if 200 <= response.status < 300:
            return response
        async with response:
            raise decode_error(response.status, response.headers, await _bounded(response))

    def _request(self, body: bytes, *, stream: bool) -> HttpRequest:
        settings = self._settings
        accept = "text/event-stream" if stream else "application/json"
        headers = [("content-type", "application/json"), ("accept", accept)]
        if settings.api_key is not None:
            headers.append(("authorization", f"Bearer {settings.api_key.reveal()}"))
        return HttpRequest(
            method="POST",
            url=f"{settings.base_url.rstrip('/')}/responses",
            headers=tuple(headers),
            body=body,
            timeouts=settings.timeouts,
        )


class _Whole:
    """An answer that came in one piece, as the one event that ends it."""

    def __init__(self, body: bytes) -> None:
        response = decode_response(body)
        self._events = [ResponseEvent(type=f"response.{response.status or 'completed'}", response=response)]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ResponseEvent:
        if not self._events:
            raise StopAsyncIteration
        return self._events.pop()


def takes_effort(model: str) -> bool:
    """Whether a model of OpenAI's reasons and can be told how much, by its name."""
    return _REASONS.match(model) is not None and _TAKES_NO_EFFORT.match(model) is None


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` says that the server does not have the response that a turn was to follow."""
    if not isinstance(error, UpstreamError) or error.upstream_status not in (400, 404):
        return False
    return error.upstream_code == "previous_response_not_found"


def _input(given: Input) -> str | tuple[_InputMessage, ...]:
    if isinstance(given, str):
        return given
    return tuple(_InputMessage(role=each.role, content=each.text) for each in given)


async def _bounded(response: HttpResponse) -> bytes:
    """As much of an error's body as is worth reading; nothing where it breaks off."""
    body = b""
    try:
        async for piece in response:
            body += piece
            if len(body) >= MAX_ERROR_BYTES:
                break
    except UpstreamError:
        return b""
    return body[:MAX_ERROR_BYTES]
