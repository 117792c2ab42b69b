"""Which MCP servers a request may name."""

from __future__ import annotations

from callboard.config import may_dial
from callboard.errors import InvalidRequest
from callboard.serving.house import House
from callboard.wire.openai_responses.request import ResponsesRequest

MOST_REMOTE = 4
"""Servers that one request may name by their URLs."""


def check_servers(house: House, asked: ResponsesRequest) -> None:
    """See that every server that is named may be.

    Raises:
        InvalidRequest: One is not configured, or not where the operator allows any to be.
    """
    remote = {each.choice.server for each in asked.remote}
    for each in asked.servers:
        if each.server in remote and each.server in house.mcp_servers:
            raise _refused(f"{each.server!r}: one of [mcp.servers] has that name.", "invalid_value")
        if each.server not in remote and each.server not in house.mcp_servers:
            why = f"{each.server!r} is not configured; [mcp.servers] names those that are."
            raise _refused(why, "unknown_mcp_server")
    for server in asked.remote:
        if not may_dial(server.url, house.mcp_remote):
            where = "[mcp] remote in the configuration names the URLs that are"
            why = f"{server.choice.server!r}: its server_url is not allowed here; {where}."
            raise _refused(why, "mcp_server_not_allowed")
    if len(remote) > MOST_REMOTE:
        raise _refused(f"more than {MOST_REMOTE} are named by their URLs.", "invalid_value")
    if remote and asked.background:
        raise InvalidRequest(
            "A response in the background cannot use MCP servers by URL: what lets us in is not kept.",
            param="background",
            code="unsupported_value",
        )


def _refused(why: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"MCP server {why}", param="tools", code=code)
