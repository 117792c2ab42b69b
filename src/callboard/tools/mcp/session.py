"""One session to one MCP server: the SDK's client over a transport of ours, or over HTTP that is guarded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

import anyio
import mcp_types
from mcp.client import Client, ClientRequestContext
from mcp.client.session import ElicitationFnT, IncomingMessage, SamplingFnT
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from callboard.domain.observation import ToolProgressed
from callboard.domain.tools import ToolOutcome, failed
from callboard.tools.context import CallOrigin
from callboard.tools.definitions import SEPARATOR, SourceTool
from callboard.tools.mcp.asked import Asked
from callboard.tools.mcp.listing import source_tool
from callboard.tools.mcp.news import News
from callboard.tools.mcp.oauth import authorizer
from callboard.tools.mcp.protocol import AnswerSampling, Desk, Elicit, HttpServer, ServerSettings
from callboard.tools.mcp.remarks import Remarks
from callboard.tools.mcp.result import outcome_of
from callboard.tools.mcp.sift import MAX_TOOLS, Incoming, Outgoing, Sifted
from callboard.tools.mcp.stdio import MAX_LINE_BYTES, stdio_transport
from callboard.tools.source import SourceUnavailable
from callboard.transport.session_client import Auth, fault_elsewhere, session_client

MAX_PAGES = 100
MAX_ERROR_CHARS = 2000
SAMPLING_WITH_TOOLS = mcp_types.SamplingCapability(tools=mcp_types.SamplingToolsCapability())


@asynccontextmanager
async def open_session(server: ServerSettings, desk: Desk) -> AsyncIterator[LiveSession]:
    """See `callboard.tools.mcp.protocol.OpenSession`."""
    news = News()
    remarks = Remarks(server.name, desk.said, time.monotonic)
    asked = Asked(server, desk)
    client = Client(
        _Transport(server, desk, news, remarks, asked),
        cache=None,
        client_info=mcp_types.Implementation(name="callboard", version=_version()),
        message_handler=partial(_notice, news, remarks),
        logging_callback=partial(_log, remarks),
        log_level="info",
        list_roots_callback=asked.list_roots if server.roots else None,
        sampling_callback=None if desk.answer_sampling is None else _sampler(asked, desk.answer_sampling),
        sampling_capabilities=SAMPLING_WITH_TOOLS if desk.sampling_tools else None,
        elicitation_callback=None if desk.elicit is None else _eliciter(asked, desk.elicit),
    )
    done = False
    try:
        async with client, anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, client, news)
            try:
                yield LiveSession(server.name, client, news, asked, desk)
                done = True
            finally:
                tasks.cancel_scope.cancel()
    except Exception as error:
        # The SDK's transport fails on an answer that comes while it closes; nobody waits for that any more.
        if not done:
            raise _unavailable(error, server, news) from error


class LiveSession:
    """A `callboard.tools.mcp.protocol.Session`."""

    def __init__(self, server: str, client: Client, news: News, asked: Asked, desk: Desk) -> None:
        self._server = server
        self._client = client
        self._news = news
        self._asked = asked
        self._desk = desk

    @property
    def protocol(self) -> str:
        """See the protocol."""
        return self._client.protocol_version

    async def news(self, within_s: float) -> None:
        """See the protocol."""
        await self._news.wait(within_s)

    async def tools(self) -> tuple[SourceTool, ...]:
        """See the protocol."""
        found: list[SourceTool] = []
        cursor: str | None = None
        try:
            for _ in range(MAX_PAGES):
                page = await self._client.list_tools(cursor=cursor)
                found += [source_tool(each) for each in page.tools[: MAX_TOOLS - len(found)]]
                cursor = page.next_cursor
                if not cursor or len(found) >= MAX_TOOLS:
                    break
        except MCPError as error:
            if error.code == mcp_types.METHOD_NOT_FOUND:
                return ()  # a server without tools
            why = self._news.advice or "it does not list its tools"
            raise self._lost(error) or SourceUnavailable(why) from error
        except (ValidationError, RuntimeError) as error:
            raise SourceUnavailable("its list of tools breaks the protocol") from error
        return tuple(found)

    async def call(self, tool: str, arguments: Mapping[str, object], origin: CallOrigin) -> ToolOutcome:
        """See the protocol."""
        progressed = partial(self._progressed, tool, origin)
        try:
            with self._asked.during(origin):
                result = await self._client.call_tool(tool, dict(arguments), progress_callback=progressed)
        except MCPError as error:
            lost = self._lost(error)
            if lost is not None:
                raise lost from error
            said = self._advice(error) or error.error.message[:MAX_ERROR_CHARS]
            return failed(f"Tool {tool!r} failed with error: {said}")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise SourceUnavailable(self._why(), sent=True) from error
        except (ValidationError, RuntimeError, ValueError) as error:
            # Among them: it keeps asking for input, or answers what the agreed version does not have.
            return failed(
                f"Tool {tool!r} failed: the server's answer breaks the protocol ({type(error).__name__})"
            )
        return outcome_of(result)

    async def _progressed(
        self, tool: str, origin: CallOrigin, progress: float, total: float | None, message: str | None
    ) -> None:
        self._desk.progressed(
            ToolProgressed(
                request_id=origin.request_id,
                name=f"{self._server}{SEPARATOR}{tool}",
                fraction=progress / total if total else None,
                message=(message or "")[:MAX_ERROR_CHARS],
            )
        )

    def _lost(self, error: MCPError) -> SourceUnavailable | None:
        """What to raise where ``error`` means that there is no connection any more, or no session."""
        if error.code == mcp_types.CONNECTION_CLOSED:
            return SourceUnavailable(self._why(), sent=True)
        if error.code == mcp_types.INVALID_REQUEST and error.error.message == "Session terminated":
            # The transport's words for HTTP 404: the server has forgotten the session. Nothing was run.
            self._news.lose("it has ended the session")
            return SourceUnavailable("it has ended the session")
        return None

    def _advice(self, error: MCPError) -> str:
        """What is known of a refusal that has only the transport's words for an HTTP status."""
        return self._news.advice if error.error.message == "Server returned an error response" else ""

    def _why(self) -> str:
        return self._news.lost or "its connection was closed"


class _Transport(AbstractAsyncContextManager["tuple[Sifted, Outgoing]", None]):
    """The way to a server, sifted, as the SDK enters it."""

    def __init__(
        self, server: ServerSettings, desk: Desk, news: News, remarks: Remarks, asked: Asked
    ) -> None:
        self._news = news
        self._asked = asked
        way = server.way
        if isinstance(way, HttpServer):
            auth = authorizer(server.name, way, desk.consent, news, remarks)
            self._inner = _over_http(way, server.policy.timeout_s, auth)
        else:
            self._inner = stdio_transport(way, news, remarks)

    async def __aenter__(self) -> tuple[Sifted, Outgoing]:
        incoming, outgoing = await self._inner.__aenter__()
        return Sifted(incoming, self._news, self._asked.hear), outgoing

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


@asynccontextmanager
async def _over_http(
    way: HttpServer, timeout_s: float, auth: Auth | None
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """A transport of the SDK's over a client of ours."""
    client = session_client(
        way.url,
        headers={name: value.reveal() for name, value in way.headers.items()},
        allow_private=way.allow_private,
        idle_s=max(300.0, timeout_s + 30),
        issuers=() if way.oauth is None else way.oauth.issuers,
        auth=auth,
    )
    if way.transport == "sse":
        async with sse_client(
            way.url, httpx_client_factory=lambda headers=None, timeout=None, auth=None: client
        ) as (incoming, outgoing):
            yield incoming, outgoing
    else:
        async with (
            client,
            streamable_http_client(way.url, http_client=client, max_sse_event_size=MAX_LINE_BYTES) as streams,
        ):
            yield streams


def _version() -> str:
    try:
        return version("callboard")
    except PackageNotFoundError:  # a source tree
        return "unknown"


def _unavailable(error: BaseException, server: ServerSettings, news: News) -> SourceUnavailable:
    """What a connection that failed comes to; of several reasons the first. None of the server's words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SourceUnavailable):
        return error
    if isinstance(error, MCPError):
        why = news.lost or news.advice
        return SourceUnavailable(why or f"it refuses the handshake (error {error.code})")
    elsewhere = fault_elsewhere(error, server.way.url) if isinstance(server.way, HttpServer) else None
    return SourceUnavailable(news.lost or elsewhere or f"the connection failed ({type(error).__name__})")


async def _listen(client: Client, news: News) -> None:
    """Have a server of 2026-07-28 say when its tools change; older ones do so unasked."""
    try:
        async with client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                news.change()
    except (MCPError, SubscriptionLost, ListenNotSupportedError):
        return  # the list is read again from time to time


async def _notice(news: News, remarks: Remarks, message: IncomingMessage) -> None:
    if isinstance(message, mcp_types.ToolListChangedNotification):
        news.change()
    elif isinstance(message, Exception):
        remarks.add("error", f"unreadable message ({type(message).__name__})")


async def _log(remarks: Remarks, params: mcp_types.LoggingMessageNotificationParams) -> None:
    text = params.data if isinstance(params.data, str) else str(params.data)
    for line in text[:MAX_ERROR_CHARS].splitlines():
        remarks.add(params.level, line)


def _sampler(asked: Asked, answer: AnswerSampling) -> SamplingFnT:
    async def sample(
        context: ClientRequestContext, params: mcp_types.CreateMessageRequestParams
    ) -> mcp_types.CreateMessageResult | mcp_types.CreateMessageResultWithTools | mcp_types.ErrorData:
        return await asked.sample(answer, params)

    return sample


def _eliciter(asked: Asked, answer: Elicit) -> ElicitationFnT:
    async def elicit(
        context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        return await asked.elicit(answer, params)

    return elicit
