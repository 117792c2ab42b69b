"""The way to the SDK, taken when the first server is connected and not before."""

from __future__ import annotations

from anyio import to_thread

from callboard.tools.mcp.protocol import OpenSession
from callboard.tools.source import SourceUnavailable


async def load_opener() -> OpenSession:
    """What opens sessions. The first call imports the SDK, in a thread: meanwhile others are served.

    Raises:
        SourceUnavailable: It is not installed.
    """
    try:
        return await to_thread.run_sync(_import_opener)
    except ImportError as error:
        raise SourceUnavailable("the package mcp is not installed") from error


def _import_opener() -> OpenSession:
    from callboard.tools.mcp.session import open_session  # noqa: PLC0415 - half a second, and not for all

    return open_session
