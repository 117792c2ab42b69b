"""An MCP server that wants tokens, and the authorization server that gives them: the SDK's, run as a script.

    python mcp_guarded.py LIFE_S

LIFE_S is how long an access token lives. It prints the URLs of both, which are two origins. What the
authorization server is told at ``/_mood`` it is from then on: ``well``, ``slow`` (until it is not), ``busy``
(it answers 503), ``leaky`` (its token endpoint answers nonsense with a token in it) or ``denying``.
``/_forget`` makes access tokens invalid, ``/_forget?all`` everything; calls of the tool ``late`` then wait
until ``/_go``, before anybody looks at their token. ``/_seen`` is what it was sent but for these, ``/_begin``
a new start.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time

import anyio
import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CANARY = "canary-of-a-token"
MACHINE = ("machine", "machine's secret")
SCOPES = ["read", "write"]
LACKING = b'Bearer error="insufficient_scope", scope="write"'


class Grants(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Remembers who may do what; whoever asks is let in."""

    def __init__(self, life_s: int) -> None:
        self.mood = "well"
        self.holding = False
        self.seen: list[dict[str, object]] = []
        self._life_s = life_s
        self._clients: dict[str, OAuthClientInformationFull] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self.renewals: dict[str, RefreshToken] = {}
        self.tokens: dict[str, AccessToken] = {}

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self._clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self._clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        back = str(params.redirect_uri)
        if self.mood == "denying":
            said = {"error": "access_denied", "error_description": "<b>not you</b>"}
            return construct_redirect_uri(back, **said, state=params.state)
        code = AuthorizationCode(
            code=secrets.token_hex(16),
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self._codes[code.code] = code
        return construct_redirect_uri(back, code=code.code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self._codes[authorization_code.code]
        return self.give(client.client_id, authorization_code.scopes)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        return self.renewals.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        del self.renewals[refresh_token.token]
        return self.give(client.client_id, scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.tokens.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        raise NotImplementedError

    async def verify_token(self, token: str) -> AccessToken | None:
        return self.tokens.get(token)

    def give(self, client_id: str, scopes: list[str], *, renewable: bool = True) -> OAuthToken:
        access, renewal = f"access-{secrets.token_hex(16)}", f"renewal-{secrets.token_hex(16)}"
        until = int(time.time()) + self._life_s
        self.tokens[access] = AccessToken(token=access, client_id=client_id, scopes=scopes, expires_at=until)
        if renewable:
            self.renewals[renewal] = RefreshToken(token=renewal, client_id=client_id, scopes=scopes)
        return OAuthToken(
            access_token=access,
            expires_in=self._life_s,
            scope=" ".join(scopes),
            refresh_token=renewal if renewable else None,
        )


class Watched:
    """The authorization server's door: it writes down who comes, and shows its mood."""

    def __init__(self, inner: ASGIApp, grants: Grants) -> None:
        self._inner = inner
        self._grants = grants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_"):
            await self._inner(scope, receive, send)
            return
        request = Request(scope, receive)
        body = (await request.body()).decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self._grants.seen.append({"path": scope["path"], "headers": headers, "body": body})
        grants = self._grants
        while grants.mood == "slow":
            await anyio.sleep(0.005)
        if grants.mood == "busy":
            await Response(status_code=503)(scope, receive, send)
        elif grants.mood == "leaky" and scope["path"] == "/token":
            await JSONResponse({"token_type": "Bearer", "acces_token": CANARY})(scope, receive, send)
        elif "grant_type=client_credentials" in body:
            basic = headers.get("authorization", "").startswith("Basic ")
            given = grants.give("machine", ["read"], renewable=False).model_dump(exclude_none=True)
            answer = JSONResponse(given) if basic else JSONResponse({"error": "invalid_client"}, 401)
            await answer(scope, receive, send)
        else:
            await self._inner(scope, _again(body.encode()), send)


class Choosy:
    """The MCP server's door: ``write`` needs the scope of that name, ``late`` may have to wait here."""

    def __init__(self, inner: ASGIApp, grants: Grants) -> None:
        self._inner = inner
        self._grants = grants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        headers = dict(scope["headers"])
        token = self._grants.tokens.get(headers.get(b"authorization", b"").decode().removeprefix("Bearer "))
        while b'"name":"late"' in body and self._grants.holding:
            await anyio.sleep(0.005)
        if b'"name":"write"' in body and token is not None and "write" not in token.scopes:
            await send(
                {"type": "http.response.start", "status": 403, "headers": [(b"www-authenticate", LACKING)]}
            )
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._inner(scope, _again(body, receive), send)


def _again(body: bytes, rest: Receive | None = None) -> Receive:
    """A body that has been read already."""
    told = False

    async def receive() -> Message:
        nonlocal told
        if told and rest is not None:
            return await rest()
        if told:
            await anyio.sleep_forever()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def authorization_server(grants: Grants, url: str) -> ASGIApp:
    async def mood(request: Request) -> Response:
        grants.mood = str(request.url.query)
        return Response()

    async def forget(request: Request) -> Response:
        grants.tokens.clear()
        grants.holding = True
        if request.url.query == "all":
            grants.renewals.clear()
        return Response()

    async def let_go(request: Request) -> Response:
        grants.holding = False
        return Response()

    async def begin(request: Request) -> Response:
        grants.mood, grants.holding = "well", False
        grants.seen.clear()
        return Response()

    async def seen(request: Request) -> Response:
        return JSONResponse(grants.seen)

    options = ClientRegistrationOptions(enabled=True, valid_scopes=SCOPES)
    routes = create_auth_routes(grants, AnyHttpUrl(url), client_registration_options=options)
    own = [
        Route("/_mood", mood),
        Route("/_forget", forget),
        Route("/_go", let_go),
        Route("/_seen", seen),
        Route("/_begin", begin),
    ]
    return Watched(Starlette(routes=[*routes, *own]), grants)


def mcp_server(grants: Grants, url: str, issuer: str) -> ASGIApp:
    settings = AuthSettings(
        issuer_url=AnyHttpUrl(issuer),
        resource_server_url=AnyHttpUrl(f"{url}/mcp"),
        required_scopes=["read"],
        validate_token_resource=False,
    )
    server = MCPServer("guarded", token_verifier=grants, auth=settings)

    @server.tool()
    def header(ctx: Context) -> str:
        """A header of the request."""
        return (ctx.headers or {}).get("x-secret", "none")

    @server.tool()
    def write() -> str:
        """Something that needs more."""
        return "written"

    @server.tool()
    def late() -> str:
        """Something that is looked at late."""
        return "late"

    @server.tool()
    async def hang() -> str:
        """Never answer."""
        await anyio.sleep_forever()
        return ""

    return Choosy(server.streamable_http_app(json_response=True), grants)


async def main(life_s: int) -> None:
    grants = Grants(life_s)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    issuer, url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    apps = authorization_server(grants, issuer), mcp_server(grants, url, issuer)
    print(json.dumps({"issuer": issuer, "url": f"{url}/mcp"}), flush=True)  # noqa: T201 - its starter reads it
    servers = [uvicorn.Server(uvicorn.Config(each, log_config=None)) for each in apps]
    await asyncio.gather(*(each.serve([bound]) for each, bound in zip(servers, sockets, strict=True)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
