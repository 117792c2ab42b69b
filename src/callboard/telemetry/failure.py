"""An exception as fields of a line: its class and the way it took; its message only as content."""

from __future__ import annotations

from pathlib import PurePath
from traceback import walk_tb

MAX_FRAMES = 6


def failure_fields(error: BaseException) -> dict[str, str | None]:
    """``error``, ``at`` and ``detail``, as `callboard.telemetry.schema` has them."""
    return {"error": class_name(error), "at": whereabouts(error), "detail": str(error)}


def class_name(error: BaseException) -> str:
    """The class, and that of what caused it: ``ActorFailed from KeyError``."""
    name = type(error).__name__
    return name if error.__cause__ is None else f"{name} from {type(error.__cause__).__name__}"


def whereabouts(error: BaseException) -> str | None:
    """``turn.py:44 < assistant.py:120``: files and lines, innermost first; None where it was never raised."""
    frames = [
        f"{PurePath(frame.f_code.co_filename).name}:{line}" for frame, line in walk_tb(error.__traceback__)
    ]
    return " < ".join(frames[: -MAX_FRAMES - 1 : -1]) or None
