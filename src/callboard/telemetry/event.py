"""What a line of the log is made of: events, their fields, and what several of them have in common."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Level: TypeAlias = Literal["debug", "info", "warn", "error"]
FieldType: TypeAlias = Literal["string", "integer", "number", "boolean", "duration", "usd"]

SEVERITY: dict[Level, int] = {"debug": 10, "info": 20, "warn": 30, "error": 40}
HEAD = ("time", "level", "msg")


class Field(Struct, frozen=True):
    """One key of a line.

    Attributes:
        type: A ``duration`` is given in whole microseconds and written as Go does: ``1.5s``, ``1m30s``;
            ``usd`` is given in whole pico-USD and written as an exact decimal.
        unit: Of a number; empty where there is none.
        content: Holds what users or models said; its size and hash are written instead, unless the operator
            allows content.
    """

    name: str
    type: FieldType = "string"
    meaning: str = ""
    unit: str = ""
    content: bool = False


class Event(Struct, frozen=True):
    """One kind of line. ``context`` lists the names of `CONTEXT` it may have."""

    msg: str
    level: Level
    meaning: str
    fields: tuple[Field, ...] = ()
    context: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its keys after `HEAD`, in the order in which they are written."""
        return (*self.context, *(each.name for each in self.fields))


CONTEXT = (
    Field("request_id", "string", "the request, as shown to the client in x-request-id"),
    Field("response_id", "string", "the response it makes"),
    Field("assistant", "string", "configured name of the assistant"),
    Field("provider", "string", "configured name of the provider"),
    Field("model", "string", "the model's name here"),
)

TURN = ("request_id", "assistant")
DURATION = Field("duration", "duration", "how long it took")
ERROR = Field("error", "string", "class of the exception")
AT = Field("at", "string", "files and lines it came through, innermost first")
DETAIL = Field("detail", "string", "the exception's message", content=True)
