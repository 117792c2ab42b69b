"""Counts the calls that our own code makes: a measure of work that no busy machine disturbs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import callboard

SOURCE = str(Path(callboard.__file__).parent)


class Calls:
    """How often a function of ours was entered or resumed, and how often ours called one of C.

    Attributes:
        count: So far.
    """

    def __init__(self) -> None:
        self.count = 0

    def on_event(self, frame: FrameType, event: str, argument: object) -> None:
        """What `sys.setprofile` calls."""
        del argument
        if event in {"call", "c_call"} and frame.f_code.co_filename.startswith(SOURCE):
            self.count += 1


@contextmanager
def counted() -> Iterator[Calls]:
    """Count in the running thread for the length of the block."""
    calls = Calls()
    before = sys.getprofile()
    sys.setprofile(calls.on_event)
    try:
        yield calls
    finally:
        sys.setprofile(before)
