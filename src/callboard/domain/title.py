"""Titles of conversations: what a model is asked for, and what is made of its answer. No I/O."""

from __future__ import annotations

import re
from datetime import datetime

LONGEST_TITLE = 30
PROMPT_CHARS = 500
"""A title needs no more of what was said than this."""

INSTRUCTIONS = (
    "Give the conversation that begins with the user's message a title of at most 30 characters. Name its "
    "subject, with the technical terms that the user uses. Write the title alone: no quotes, no full stop, "
    "no other words."
)

_DOTS = "..."
_SHORTEST = 3
_SAYS_NOTHING = frozenset({"chat", "conversation", "help", "hello", "hi", "new chat", "title", "untitled"})
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


def title_prompt(message: str) -> str:
    """What a model is told to find a title for a conversation that begins with ``message``."""
    return f"Find a title for a conversation that begins so:\n\n{message[:PROMPT_CHARS]}"


def clean_title(answer: str) -> str | None:
    """The title in a model's answer, on one line, without quotes and not too long; None where it has none."""
    line = _BLANK.sub(" ", answer).strip().strip("\"'`“”‘’").strip()
    if len(line) < _SHORTEST or line.lower() in _SAYS_NOTHING:
        return None
    return shortened(line)


def shortened(title: str) -> str:
    """``title`` in as many characters as one may have."""
    if len(title) <= LONGEST_TITLE:
        return title
    return title[: LONGEST_TITLE - len(_DOTS)] + _DOTS


def fallback_title(now_s: float) -> str:
    """The title of a conversation for which none was found, by the local time; ``now_s`` since the epoch."""
    return datetime.fromtimestamp(now_s).astimezone().strftime("Chat - %m/%d %H:%M")
