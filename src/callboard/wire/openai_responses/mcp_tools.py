"""``mcp`` tools of a request: MCP servers that it names.

Source: OpenAI API reference, "Create a model response", ``tools``, ``mcp``. The Open Responses specification
has no such tool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from callboard.domain.tools import ApprovalPolicy, McpChoice, RemoteServer
from callboard.errors import InvalidRequest
from callboard.secret import Secret
from callboard.wire.json import decode, refusal

MOST_HEADERS = 32
_LABEL = re.compile(r"(?!.*__)[A-Za-z0-9_-]{1,32}")
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
# Those of the connection, and of the protocol; Host above all, which would lead elsewhere.
_NOT_THE_CLIENTS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SECRETS = ("headers", "authorization")


class ToolNames(Struct, frozen=True, kw_only=True):
    """Some tools of a server.

    Attributes:
        read_only: Those that the server says change nothing, or the others. No server's word is taken for it.
    """

    tool_names: tuple[str, ...] | None = None
    read_only: bool | None = None


class RequireApproval(Struct, frozen=True, kw_only=True):
    """Which tools wait for approval."""

    always: ToolNames | None = None
    never: ToolNames | None = None


class McpTool(Struct, frozen=True, kw_only=True):
    """A server whose tools the model may use; one of ours, unless something says where it is."""

    server_label: Annotated[str, Meta(min_length=1)]
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    headers: dict[str, str] | None = None
    authorization: str | None = None
    allowed_tools: tuple[str, ...] | ToolNames | None = None
    require_approval: Literal["always", "never"] | RequireApproval | None = None


_ALWAYS: Literal["always"] = "always"
_NOTHING = RequireApproval()
_TOOL = msgspec.json.Decoder(McpTool)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def chosen_server(tool: Raw, at: str) -> McpChoice | RemoteServer | None:
    """The server that ``tool`` means, of ours or at a URL; None where it is somebody else's to find it.

    Args:
        tool: One of the type ``mcp``.
        at: Where it stands, e.g. ``tools[2]``.

    Raises:
        LocalWireError: It breaks the dialect.
    """
    wire = decode(tool, _TOOL.decode, side="local", at=at)
    if wire.connector_id or wire.tunnel_id:
        return None
    names = wire.allowed_tools
    if isinstance(names, ToolNames) and names.read_only is not None:
        where = f"{at}.allowed_tools.read_only"
        raise refusal(
            "tools have to be named: what a server says of them is not relied on", "local", param=where
        )
    allowed = names.tool_names if isinstance(names, ToolNames) else names
    wanted = wire.require_approval
    if wire.server_url is None:
        return McpChoice(server=wire.server_label, allowed=allowed, approval=_approval(wanted))
    if not _LABEL.fullmatch(wire.server_label):
        where = f"{at}.server_label"
        raise refusal("it needs letters, digits, '-' and single '_', at most 32", "local", param=where)
    # With a stranger's server everything waits, unless the client says otherwise; so it is with OpenAI.
    approval = _approval(_ALWAYS if wanted is None or wanted == _NOTHING else wanted)
    choice = McpChoice(server=wire.server_label, allowed=allowed, approval=approval)
    return RemoteServer(choice=choice, url=wire.server_url, headers=_headers(wire, f"{at}.headers"))


def _headers(wire: McpTool, at: str) -> dict[str, Secret]:
    given = dict(wire.headers or {})
    if wire.authorization is not None:
        given["Authorization"] = f"Bearer {wire.authorization}"
    for name, value in given.items():
        fits = _FIELD.fullmatch(name) and _SENDABLE.fullmatch(value)
        if not fits or name.lower() in _NOT_THE_CLIENTS or len(given) > MOST_HEADERS:
            raise refusal("a header that cannot be sent", "local", param=at)
    return {name: Secret(value) for name, value in given.items()}


def check_labels(choices: Sequence[McpChoice]) -> None:
    """See that no server is named twice.

    Raises:
        InvalidRequest: One is.
    """
    labels = [each.server for each in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise InvalidRequest(
                f"The MCP server {label!r} is named twice.", param="tools", code="invalid_value"
            )


def without_secrets(tool: Raw) -> Raw:
    """What is repeated of an ``mcp`` tool: nothing that lets anybody in."""
    fields = _FIELDS.decode(tool)
    if not any(name in fields for name in _SECRETS):
        return tool
    return Raw(msgspec.json.encode({name: each for name, each in fields.items() if name not in _SECRETS}))


def _approval(wanted: str | RequireApproval | None) -> ApprovalPolicy:
    """What the client wants approved; where it says nothing, that is what the operator does."""
    if isinstance(wanted, RequireApproval):
        # What a filter by the server's own word would spare waits; what it would have wait is not known, so
        # everything does.
        always = () if wanted.always is None else _named(wanted.always, otherwise=("*",))
        never = None if wanted.never is None else _named(wanted.never, otherwise=())
        return ApprovalPolicy(always=always, never=never)
    return ApprovalPolicy(always=("*",) if wanted == _ALWAYS else ())


def _named(tools: ToolNames, *, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """The tools that are meant, where they are named and nothing else is said of them."""
    return otherwise if tools.tool_names is None or tools.read_only is not None else tools.tool_names
