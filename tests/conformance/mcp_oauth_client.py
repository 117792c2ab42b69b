"""Callboard as the client of MCP's conformance suite, where servers want tokens: sessions, and who consents.

The servers are configured as an operator would do it, who learns from each refusal which authorization server
there is, and adds it.

Source: npm ``@modelcontextprotocol/conformance``, "Client Testing".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec.structs import replace

from callboard.secret import Secret
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import HttpServer, OAuthSettings, ServerSettings
from callboard.tools.mcp.session import open_session
from callboard.tools.source import SourceUnavailable
from tests.fakes.consenting import Person
from tests.fakes.mcp_servers import Heard

WAIT_S = 50
NOBODY = "https://issuer.invalid"
DOCUMENT = "https://conformance-test.local/client-metadata.json"
UNNAMED = re.compile(r"(https?://[^ ,]+), which `issuers` does not name")


class Errands:
    """Does what each started client is to do.

    Args:
        folder: Where logins are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def serve(self, stream: SocketStream) -> None:
        """One errand."""
        async with stream:
            errand = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", 1 << 20))
            scenario = errand["MCP_CONFORMANCE_SCENARIO"]
            context = json.loads(errand["MCP_CONFORMANCE_CONTEXT"] or "{}")
            said = await self._run(scenario, errand["url"], context)
            await stream.send(json.dumps(said).encode() + b"\n")

    async def _run(self, scenario: str, url: str, context: Mapping[str, Any]) -> Mapping[str, object]:
        name = scenario.removeprefix("auth/")
        if name == scenario:
            return {"failed": True, "text": "the other module runs it"}
        login = self._folder / f"{name}.json"
        oauth = OAuthSettings(issuers=(context.get("issuer", NOBODY),), login=login)
        if "client_id" in context:
            secret = Secret(context["client_secret"])
            oauth = replace(oauth, client_id=context["client_id"], client_secret=secret)
        if name == "basic-cimd":
            oauth = replace(oauth, client_metadata_url=DOCUMENT)
        if name.startswith("client-credentials"):
            oauth = replace(oauth, grant="client_credentials", login=None)
        try:
            with anyio.fail_after(WAIT_S):
                text = await self._learn(ServerSettings(name="suite", way=HttpServer(url=url, oauth=oauth)))
        except (SourceUnavailable, TimeoutError) as error:
            return {"failed": True, "text": f"{type(error).__name__}: {error}"}
        return {"failed": "is_error=True" in text, "text": text}

    async def _learn(self, server: ServerSettings) -> str:
        """Connect again with each authorization server that a refusal names."""
        while True:
            try:
                return await self._use(server)
            except SourceUnavailable as error:
                unnamed = UNNAMED.search(str(error))
                if unnamed is None:
                    raise
                assert isinstance(server.way, HttpServer)
                assert server.way.oauth is not None
                issuers = tuple(each for each in server.way.oauth.issuers if each != NOBODY)
                assert unnamed[1] not in issuers
                oauth = replace(server.way.oauth, issuers=(*issuers, unnamed[1]))
                server = replace(server, way=replace(server.way, oauth=oauth))

    async def _use(self, server: ServerSettings) -> str:
        """Call every tool."""
        origin = CallOrigin(request_id="req_1")
        async with open_session(server, replace(Heard().desk(), consent=Person())) as session:
            said = [str(await session.call(each.name, {}, origin)) for each in await session.tools()]
        return "\n".join(said)
