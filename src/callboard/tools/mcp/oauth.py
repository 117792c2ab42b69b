"""Tokens for servers over HTTP: the SDK's OAuth, led by what the operator has configured.

The flow is the SDK's. What is added here is what a process needs that nobody watches: requests that have a
token do not wait for each other; one that is refused is tried with a renewed token before a person is asked;
tokens outlive us, and those that another process has got are used; the flow goes to the authorization servers
that are configured and to no others; and nothing of it is logged with its content.

Source: MCP 2025-11-25 and 2026-07-28, "Authorization"; RFC 6749, RFC 8414, RFC 8707, RFC 9207, RFC 9728.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec
from anyio import CancelScope
from mcp.client.auth import OAuthClientProvider, OAuthFlowError, OAuthRegistrationError, OAuthTokenError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.utils import (
    extract_field_from_www_auth,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
    union_scopes,
)
from mcp.shared.auth import OAuthClientMetadata
from msgspec import Struct
from pydantic import AnyUrl

from callboard.errors import ConfigurationError
from callboard.tools.mcp.login import REFUSES, Login
from callboard.tools.mcp.news import News
from callboard.tools.mcp.protocol import Consent, HttpServer
from callboard.tools.mcp.remarks import Remarks
from callboard.tools.source import SourceUnavailable
from callboard.transport.session_client import Auth, Request, Response

MAX_ERROR_CHARS = 300
LONG_AGO = 1.0
"""When a token expired that the server refuses; 0 would mean never."""

_LOGGER = "mcp.client.auth.oauth2"
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ours: ContextVar[bool] = ContextVar("flow_of_ours", default=False)


class _Refusal(Struct):
    """The answer of an authorization server that refuses (RFC 6749, 5.2; RFC 7591, 3.2.2)."""

    error: str


class _Flow(OAuthClientProvider):
    """What both kinds of grant have in common; comes before the SDK's own provider of that kind."""

    login: Login
    news: News
    remarks: Remarks

    async def _initialize(self) -> None:
        await self.login.look()
        await super()._initialize()
        self.login.restore(self.context)

    def _select_authorization_server(self, advertised: list[str]) -> str:
        return next((each for each in advertised if self.login.knows(each)), advertised[0])

    def _expected_issuer(self) -> str:
        issuer = super()._expected_issuer()
        if not self.login.knows(issuer):
            raise SourceUnavailable(f"its authorization server is {issuer}, which `issuers` does not name")
        return issuer

    async def _auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """Send a request, signed; where it is refused, get a token and send it again.

        The SDK would hold its lock until the server answers, and no other request could go out meanwhile. So
        its flow is entered for the tokens only.
        """
        renewed = asked = False
        while True:
            refused: Response | None = None
            await self._catch_up()
            if renewed or self.context.is_token_valid() or not self.context.can_refresh_token():
                used = self._sign(request)
                response = yield request
                if not (self._challenges(response) or self.login.anew):
                    if response.status_code >= 400:
                        self.news.advice = ""  # what was said of another refusal is not true of this one
                    return
                if asked:
                    self._despair(response)
                    return
                if used != self._bearer() or self.login.outdated:
                    continue  # another request, or another process, has got a token meanwhile
                if response.status_code == 401 and self.context.can_refresh_token() and not renewed:
                    self.context.token_expiry_time = LONG_AGO
                elif self.login.attended:
                    asked, refused = True, self._as_meant(response, request)
                else:
                    self._give_up(response)
                    return
            renewed = renewed or refused is None
            steps = self._obtain(request, refused)
            try:
                outgoing = await anext(steps)
                while True:
                    outgoing = await steps.asend((yield outgoing))
            except StopAsyncIteration:
                pass
            finally:
                await steps.aclose()

    async def _catch_up(self) -> None:
        """Read what is kept, the first time and whenever another process has written it."""
        async with self.context.lock:
            if not self._initialized or self.login.outdated:
                with self._telling():
                    await self._initialize()

    async def _obtain(self, request: Request, refused: Response | None) -> AsyncGenerator[Request, Response]:
        """The SDK's flow without ``request`` itself, which is answered with ``refused``.

        It is left where there is nothing to answer with, or another request has got a token meanwhile.
        """
        used = self._bearer()
        flow = super()._auth_flow(request)
        try:
            outgoing = await self._step(anext(flow), None)
            while outgoing is not None:
                if outgoing is not request:
                    response = yield outgoing
                    await self._look_at_renewal(outgoing, response)
                elif refused is None or used != self._bearer():
                    return
                else:
                    response, refused = refused, None
                outgoing = await self._step(flow.asend(response), response)
        finally:
            await flow.aclose()

    async def _step(self, coming: Awaitable[Request], seen: Response | None) -> Request | None:
        """The flow's next request, or None at its end; what goes wrong in it in words of ours."""
        token = _ours.set(True)
        held = self.context.current_tokens
        with self._telling():
            try:
                outgoing = await coming
            except StopAsyncIteration:
                return None
            except OAuthFlowError as error:
                raise SourceUnavailable(await _words(error, seen)) from error
            finally:
                _ours.reset(token)
            got = self.context.current_tokens
            if seen is not None and got is not None and got is not held:
                with CancelScope(shield=True):  # what we had before may be worth nothing any more
                    await self.login.keep(self.context)
                self.news.advice = ""
        return outgoing

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say why there is no token to whoever owns the session: the SDK's transport would swallow it."""
        try:
            yield
        except SourceUnavailable as error:
            self.news.lose(str(error))
            raise

    async def _look_at_renewal(self, outgoing: Request, response: Response) -> None:
        """Tell an authorization server that has no time for us from one that does not know us any more."""
        if b"grant_type=refresh_token" not in outgoing.content.split(b"&"):
            return
        status = response.status_code
        with self._telling():
            if status == 429 or status >= 500:
                place = _place(outgoing)
                raise SourceUnavailable(f"its token could not be renewed ({place} answered {status})")
            if status != 200:
                with CancelScope(shield=True):
                    await self.login.forget()

    def _challenges(self, response: Response) -> bool:
        """Whether the server wants a token, or a better one."""
        lacking = extract_field_from_www_auth(response, "error") == "insufficient_scope"
        return response.status_code == 401 or (response.status_code == 403 and lacking)

    def _as_meant(self, refused: Response, request: Request) -> Response:
        """The server's challenge as the flow shall see it: with the scope that is configured, if one is.

        Where a login is begun anew, an answer that is no challenge is taken for one.
        """
        scope = self.login.settings.scope
        if self._challenges(refused) and (scope is None or refused.status_code == 403):
            return refused
        where = extract_resource_metadata_from_www_auth(refused) if refused.status_code == 401 else None
        named = {"scope": scope, "resource_metadata": where}
        fields = ", ".join(f'{name}="{value}"' for name, value in named.items() if value)
        return Response(401, headers={"www-authenticate": f"Bearer {fields}".rstrip()}, request=request)

    def _give_up(self, refused: Response) -> None:
        """Say what a person would have to do. A request that wants more than was granted fails alone."""
        with self._telling():
            if refused.status_code == 401:
                raise self.login.missing()
        granted = self.context.current_tokens
        wanted = extract_scope_from_www_auth(refused)
        scope = union_scopes(granted.scope if granted else None, wanted)
        self.news.advice = str(self.login.missing(_sayable(scope)))
        self.remarks.add("warning", self.news.advice)

    def _despair(self, refused: Response) -> None:
        """Say that a new token is no better; a person must not be asked for ever."""
        with self._telling():
            if refused.status_code == 401 or self.login.settings.grant == "authorization_code":
                raise SourceUnavailable(REFUSES)
        self.news.advice = REFUSES

    def _sign(self, request: Request) -> str | None:
        """Put the token in that there is, and give it back as it is sent."""
        bearer = self._bearer()
        request.headers.pop("authorization", None)
        if bearer is not None:
            request.headers["authorization"] = bearer
        return bearer

    def _bearer(self) -> str | None:
        tokens = self.context.current_tokens
        return None if tokens is None else f"Bearer {tokens.access_token}"


class _ByPerson(_Flow):
    """A person consents, once."""


class _ByCredentials(_Flow, ClientCredentialsOAuthProvider):
    """Nobody has to."""


def authorizer(
    name: str, way: HttpServer, consent: Consent | None, news: News, remarks: Remarks
) -> Auth | None:
    """What signs the requests to a server, whose configuration has been checked; None where nothing does.

    Args:
        name: The server's.
        way: How it is reached.
        consent: Brings a person to a URL.
        news: Told why there is no token.
        remarks: Told what else is worth the operator's while.
    """
    settings = way.oauth
    if settings is None:
        return None
    logging.getLogger(_LOGGER).addFilter(_is_not_ours)
    login = Login(name, way.url, settings, consent)
    flow: _Flow
    if settings.grant == "client_credentials":
        if settings.client_id is None or settings.client_secret is None:
            raise ConfigurationError("client_credentials needs client_id and client_secret")
        method = settings.token_endpoint_auth_method
        flow = _ByCredentials(
            way.url,
            login,
            settings.client_id,
            settings.client_secret.reveal(),
            "client_secret_basic" if method is None or method == "none" else method,
            settings.scope,
            settings.issuers[0],
        )
    else:
        metadata = OAuthClientMetadata(
            client_name="Callboard",
            redirect_uris=[AnyUrl(settings.redirect_uri)],
            token_endpoint_auth_method=settings.token_endpoint_auth_method,
            scope=settings.scope,
        )
        flow = _ByPerson(way.url, metadata, login, login.go, login.come_back, settings.client_metadata_url)
    flow.login, flow.news, flow.remarks = login, news, remarks
    return flow


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keeps the SDK from logging our flows: its messages have what servers answered in them, tokens too."""
    return not _ours.get()


async def _words(error: OAuthFlowError, seen: Response | None) -> str:
    """What went wrong, without anything that could be secret."""
    if isinstance(error, OAuthRegistrationError):
        what = "its authorization server does not register us, so it needs a client_id"
    elif isinstance(error, OAuthTokenError):
        what = "its authorization server gives no token"
    elif str(error).startswith("State"):
        return "somebody came back who was not sent"
    else:
        return _sayable(f"the login failed: {error}") or ""
    if seen is None:
        return what
    try:
        code = msgspec.json.decode(await seen.aread(), type=_Refusal).error
    except (msgspec.DecodeError, RecursionError):
        code = ""
    code = f" {code}" if _ERROR_CODE.fullmatch(code) else ""
    return f"{what} ({_place(seen.request)} answered {seen.status_code}{code})"


def _place(request: Request) -> str:
    return str(request.url.copy_with(query=None, fragment=None))


def _sayable(text: str | None) -> str | None:
    """At most a line, of characters that can stand in one."""
    if text is None:
        return None
    return "".join(each if each.isprintable() and each != "'" else " " for each in text[:MAX_ERROR_CHARS])
