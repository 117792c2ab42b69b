"""What libraries log through the standard library becomes lines of ours, or is dropped.

The values they fill into their messages may be anything: URLs, headers, what a user wrote. So a line has the
message's template, unfilled, and its first line only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from callboard.telemetry.event import Level
from callboard.telemetry.failure import class_name, whereabouts
from callboard.telemetry.logging import Log
from callboard.telemetry.schema import LIBRARY_LOG

LIBRARIES = {
    "asyncio": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "mcp": logging.WARNING,
}
"""Loggers that are taken over, with the least level they may write."""

_LEVELS: tuple[tuple[int, Level], ...] = (
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
    (logging.NOTSET, "debug"),
)


class _Bridge(logging.Handler):
    """Writes records as events."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = next(level for least, level in _LEVELS if record.levelno >= least)
        error = record.exc_info[1] if record.exc_info else None
        self._log.event(
            replace(LIBRARY_LOG, level=level),
            logger=record.name,
            text=next(iter(str(record.msg).splitlines()), ""),
            error=None if error is None else class_name(error),
            at=None if error is None else whereabouts(error),
        )


@contextmanager
def library_logs(log: Log) -> Iterator[None]:
    """Take over the loggers of `LIBRARIES` for the length of a block; afterwards they are as they were.

    For the server, which owns its process.
    """
    bridge = _Bridge(log)
    loggers = [(logging.getLogger(name), level) for name, level in LIBRARIES.items()]
    before = [(logger.level, logger.propagate) for logger, _ in loggers]
    for logger, level in loggers:
        logger.addHandler(bridge)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for (logger, _), (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(bridge)
            logger.setLevel(level)
            logger.propagate = propagate
