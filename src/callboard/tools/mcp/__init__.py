"""MCP servers as sources of tools: one session to one server, over pipes or HTTP.

`protocol` says what a session is and needs, `session` opens one. Only `session` and what it imports import
the SDK, and only when the first server is connected: it takes half a second.

Source: Model Context Protocol 2025-06-18, 2025-11-25 and 2026-07-28.
"""

from callboard.tools.mcp.opening import load_opener
from callboard.tools.mcp.protocol import (
    AnswerSampling,
    Consent,
    Consented,
    Desk,
    Elicit,
    HttpServer,
    InputRequest,
    OAuthSettings,
    OpenSession,
    ServerSettings,
    Session,
    StdioServer,
)

__all__ = [
    "AnswerSampling",
    "Consent",
    "Consented",
    "Desk",
    "Elicit",
    "HttpServer",
    "InputRequest",
    "OAuthSettings",
    "OpenSession",
    "ServerSettings",
    "Session",
    "StdioServer",
    "load_opener",
]
