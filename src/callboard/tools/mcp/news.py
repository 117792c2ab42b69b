"""What happens to a session, for the one that owns it."""

from __future__ import annotations

import anyio

from callboard.tools.source import SourceUnavailable


class News:
    """That the server's tools have changed, or that the connection is lost.

    Attributes:
        advice: What the operator can do so that the server refuses less; empty where that is not known.
    """

    def __init__(self) -> None:
        self.advice = ""
        self._bell = anyio.Event()
        self._lost: str | None = None

    @property
    def lost(self) -> str | None:
        """Why the connection is lost; None while it stands."""
        return self._lost

    def change(self) -> None:
        """The tools have changed."""
        self._bell.set()

    def lose(self, reason: str, *, instead: bool = False) -> None:
        """The connection is lost; the first reason counts, unless a better one comes ``instead``."""
        if self._lost is None or (instead and self._lost.startswith("its process closed")):
            self._lost = reason
        self._bell.set()

    async def wait(self, within_s: float) -> None:
        """Wait for news, or for so long.

        Raises:
            SourceUnavailable: The connection is lost.
        """
        with anyio.move_on_after(within_s):
            await self._bell.wait()
        if self._lost is not None:
            raise SourceUnavailable(self._lost)
        self._bell = anyio.Event()
