"""Directives: words at the start of a message that are for us and not for the model.

::

    reason: why is the sky blue?           a model that thinks
    fast: what is 17 + 25?                 a quick one; quick: is the same
    use: o3-mini why is the sky blue?      this model; model: is the same
    use add {"a": 1, "b": 2}               no model: this tool is run, and its result is the answer

A directive holds for the turn that begins with it. It is in small letters, stands at the very start, and has
text behind it: ``Reason: …`` and a message that begins with a space are what they seem. That of a tool is a
message of its own; what is no object in braces behind the name is text like any other.
"""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.message import Message
from callboard.domain.preferences import REASONING, ModelPreferences, preferences_for

_KIND = re.compile(r"(reason|fast|quick):\s*(\S.*)", re.DOTALL)
_NAME = re.compile(r"(?:use|model):\s*(\S+)\s+(\S.*)", re.DOTALL)


_TOOL = re.compile(r"use\s+([A-Za-z0-9_-]{1,64})\s+(\{.*\})\s*", re.DOTALL)


class Call(Struct, frozen=True, kw_only=True):
    """A tool that a user runs, with the arguments as he wrote them."""

    name: str
    arguments: str


class Directive(Struct, frozen=True, kw_only=True):
    """What a user wants for one turn: this model, or one that suits ``preferences``; or none, but a tool."""

    model: str | None = None
    preferences: ModelPreferences | None = None
    call: Call | None = None


def directed(messages: tuple[Message, ...]) -> tuple[Directive, tuple[Message, ...]] | None:
    """The directive that the last message begins with, and the messages without it; None without one.

    A directive that is all there is of its message stays in it.
    """
    if not messages or messages[-1].role != "user":
        return None
    last = messages[-1]
    for place, block in enumerate(last.content):
        if not isinstance(block, TextBlock):
            continue
        found = _read(block.text)
        if found is None:
            return None
        directive, text = found
        content = (*last.content[:place], replace(block, text=text), *last.content[place + 1 :])
        return directive, (*messages[:-1], replace(last, content=content))
    return None


def _read(text: str) -> tuple[Directive, str] | None:
    kind = _KIND.match(text)
    if kind is not None:
        wanted = preferences_for(REASONING if kind[1] == "reason" else kind[1])
        return Directive(preferences=wanted), kind[2]
    call = _TOOL.fullmatch(text)
    if call is not None:
        return Directive(call=Call(name=call[1], arguments=call[2])), text
    name = _NAME.match(text)
    return None if name is None else (Directive(model=name[1]), name[2])
