"""What the chunks of a stream have in common: all but the text in their midst.

Servers make the chunks of an answer from one form, so that most of a stream can be read by comparing its
beginnings and ends. What was learnt from a chunk is tried before it is believed.
"""

from __future__ import annotations

from typing import Self

import msgspec

from callboard.wire.openai_chat.schema import Chunk

_CHUNK = msgspec.json.Decoder(Chunk)
_TEXT = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode
_PROBE = "\u0010 any other text"


class Alike:
    """The bytes around the text of a chunk, its quotation marks among them."""

    __slots__ = ("_after", "_before", "_skip", "_spare")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._skip = len(before) - 1
        self._spare = len(after) - 1

    @classmethod
    def of(cls, data: bytes, text: str) -> Self | None:
        """Learn from ``data``, a chunk that says nothing but ``text``; None where that is not certain."""
        said = b'"content":%b' % _encode(text)
        before, found, after = data.partition(said)
        if not found or said in after:
            return None
        alike = cls(before + b'"content":"', b'"' + after)
        probe = data[: len(before)] + b'"content":%b' % _encode(_PROBE) + after
        return alike if _says(probe, _PROBE) and _says(data, text) else None

    def text_of(self, data: bytes) -> str | None:
        """The text of a chunk that is like the one that was learnt from; None for any other."""
        end = len(data) - self._spare
        if end <= self._skip + 1 or not (data.startswith(self._before) and data.endswith(self._after)):
            return None
        try:
            return _TEXT.decode(data[self._skip : end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # whatever it is, it is not one text


def _says(data: bytes, text: str) -> bool:
    choices = _CHUNK.decode(data).choices
    if not choices or len(choices) > 1 or choices[0].delta is None:
        return False
    delta = choices[0].delta
    return delta.content == text and not delta.tool_calls and delta.function_call is None
