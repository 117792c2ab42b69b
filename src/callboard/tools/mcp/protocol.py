"""What a session to an MCP server is, what it is given, and whom it asks. Knows nothing of the SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from msgspec import Raw, Struct

from callboard.domain.observation import ToolProgressed, ToolSourceRefused, ToolSourceSaid
from callboard.domain.sampling import SamplingError, SamplingResult
from callboard.domain.tools import ToolOutcome
from callboard.secret import Secret
from callboard.tools.context import CallOrigin
from callboard.tools.definitions import SourceTool
from callboard.tools.space import SourcePolicy


class StdioServer(Struct, frozen=True, kw_only=True):
    """A server that we start, and speak to over its standard input and output.

    Attributes:
        command: A path, or a name that is looked for in ``PATH``; never a shell's business.
        env: What it has of the environment besides the few harmless variables that every program needs.
    """

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret] = {}
    cwd: str | None = None


class OAuthSettings(Struct, frozen=True, kw_only=True):
    """How tokens for a server are had.

    Attributes:
        issuers: The authorization servers that may give them, as they call themselves, and the origins of
            those of their endpoints that are elsewhere. The first is the one that knows ``client_id``.
        grant: ``authorization_code`` needs a person, once; ``client_credentials`` needs the client's own.
        client_id: Absent where we register ourselves, or have a ``client_metadata_url``.
        token_endpoint_auth_method: Absent as the authorization server wants it, or, of a client that it knows
            already, in the ``Authorization`` header where there is a secret.
        client_metadata_url: The URL of a document that describes us, which serves as ``client_id`` where the
            authorization server takes such.
        scope: Asked for instead of what the server says it needs.
        redirect_port: Where we listen on 127.0.0.1 for a person to come back.
        login: The file that what a person has consented to is kept in; None forgets it with the session.
        anew: Whether that person is asked again, whatever is kept.
    """

    issuers: tuple[str, ...]
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    client_id: str | None = None
    client_secret: Secret | None = None
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] | None = None
    client_metadata_url: str | None = None
    scope: str | None = None
    redirect_port: int = 8976
    login: Path | None = None
    anew: bool = False

    @property
    def redirect_uri(self) -> str:
        """Where a person comes back to, who has been asked."""
        return f"http://127.0.0.1:{self.redirect_port}/callback"


class HttpServer(Struct, frozen=True, kw_only=True):
    """A server behind a URL.

    Attributes:
        headers: Sent with every request to it, and to nobody else.
        allow_private: Whether its host, and those of its issuers, may resolve to private addresses; None
            allows it where the URL itself shows that it is one.
        oauth: How tokens for it are had; None where it needs none.
    """

    url: str
    transport: Literal["streamable-http", "sse"] = "streamable-http"
    headers: Mapping[str, Secret] = {}
    allow_private: bool | None = None
    oauth: OAuthSettings | None = None


class ServerSettings(Struct, frozen=True, kw_only=True):
    """One configured server.

    Attributes:
        refresh_s: How often its tools are listed again, in case it does not say that they changed; 0 never.
        start_s: Time for connecting, the handshake and the first list.
        longest_retry_s: The longest pause between two attempts to connect.
        parallel: Calls to it that run at the same time.
        roots: ``file://`` URIs that it is told of when it asks.
    """

    name: str
    way: StdioServer | HttpServer
    policy: SourcePolicy = SourcePolicy()
    refresh_s: float = 10.0
    start_s: float = 30.0
    longest_retry_s: float = 30.0
    parallel: int = 8
    roots: tuple[str, ...] = ()


class InputRequest(Struct, frozen=True, kw_only=True):
    """Something a server needs before it can go on with a call.

    Attributes:
        server: Its configured name.
        params: The request's ``params`` as JSON: of ``sampling/createMessage`` or ``elicitation/create``.
        origin: The call that it belongs to. Servers of the older wires do not say which; it is known where
            only one caller's calls are running, and a request that could be several callers' is refused.
    """

    server: str
    params: Raw
    origin: CallOrigin


class AnswerSampling(Protocol):
    """Answers ``sampling/createMessage``, pushed (until 2025-11-25) or asked for as input (2026-07-28).

    Several may run at once. Cancelled with the call that it belongs to.
    """

    async def __call__(self, request: InputRequest) -> SamplingResult | SamplingError:
        """The answer, or what the server is told instead."""
        ...


class Elicit(Protocol):
    """Answers ``elicitation/create``, where the client's dialect has a way to ask its user."""

    async def __call__(self, request: InputRequest) -> Raw:
        """The ``ElicitResult`` as JSON.

        Raises:
            CallboardError: The server is told the message of a `Refusal`, and of nothing else.
        """
        ...


class Consented(Struct, frozen=True, kw_only=True):
    """What a person brought back from an authorization server.

    Attributes:
        state: As it was sent there.
        iss: Who has consented, where the server says so (RFC 9207).
    """

    code: Secret
    state: str | None = None
    iss: str | None = None


Consent: TypeAlias = Callable[[str], Awaitable[Consented]]
"""Brings a person to a URL, and waits until that person comes back to the redirect URI.

Raises:
    SourceUnavailable: Nobody came, or access was denied.
"""


class Desk(Struct, frozen=True, kw_only=True, eq=False):
    """Whom a session turns to.

    Attributes:
        said: Told what the server writes for its operator, already bounded in length and rate.
        progressed: Told how far calls are.
        refused: Told what the server asked for in vain; not more than one a second.
        answer_sampling: None refuses, and tells the server from the start that there is no sampling.
        sampling_tools: Whether the server is told that it may offer tools with that.
        elicit: As ``answer_sampling``, for elicitation.
        consent: None where there is nobody to ask: then a server that wants that cannot be used.
    """

    said: Callable[[ToolSourceSaid], None]
    progressed: Callable[[ToolProgressed], None]
    refused: Callable[[ToolSourceRefused], None]
    answer_sampling: AnswerSampling | None = None
    sampling_tools: bool = False
    elicit: Elicit | None = None
    consent: Consent | None = None


class Session(Protocol):
    """An open session; its methods may be used by several tasks at once."""

    @property
    def protocol(self) -> str:
        """The version that was agreed on."""

    async def tools(self) -> tuple[SourceTool, ...]:
        """Every tool of the server, all pages of the list, at most 1,000.

        Raises:
            SourceUnavailable: The connection was lost, or the answer is no list.
        """

    async def call(self, tool: str, arguments: Mapping[str, object], origin: CallOrigin) -> ToolOutcome:
        """Call a tool. Cancelling tells the server, and leaves the session as it was.

        Raises:
            SourceUnavailable: The connection was lost; ``sent`` says whether the call may have been run.
        """

    async def news(self, within_s: float) -> None:
        """Wait until the server says that its tools have changed, or for so long.

        Raises:
            SourceUnavailable: The connection is lost.
        """


OpenSession: TypeAlias = Callable[[ServerSettings, Desk], AbstractAsyncContextManager[Session]]
"""Opens a session and closes it, in the task that enters the block. What a broken connection makes of the
block (an exception, a group of them, a cancelled body) is the implementation's; `Session.news` says it first.
"""
