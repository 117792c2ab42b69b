"""Every rule that a Responses stream must keep, checked over its events.

No client and no conformance suite notices all of these. The rules were first held against streams that OpenAI
sent (tests/oracles/test_responses_lifecycle.py), so that the checker asks for nothing they do not do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

Data: TypeAlias = dict[str, Any]

TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
PARTS = {
    "response.content_part": ("content_index", "content"),
    "response.reasoning_summary_part": ("summary_index", "summary"),
}
WHOLE = ("text", "refusal", "arguments", "input", "code", "diff")
"""What the content of different events is called when it is whole."""


class Event(Struct, frozen=True):
    """One event.

    Attributes:
        name: Of its ``event:`` line; None where it has none.
        data: None for ``[DONE]``.
    """

    name: str | None
    data: Data | None


def events_in(stream: bytes) -> list[Event]:
    """The events of a stream as a simple parser sees them: LF only, one data line each; comments are skipped.

    Raises:
        ValueError: A simple parser would not understand it.
    """
    if b"\r" in stream:
        raise ValueError("the stream holds a carriage return")
    *blocks, rest = stream.decode().split("\n\n")
    if rest.strip("\n"):
        raise ValueError(f"the stream ends within an event: {rest!r}")
    return [_event(block.strip("\n")) for block in blocks if block.strip("\n") and block[0] != ":"]


def _event(block: str) -> Event:
    lines = block.split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    if len(data) != 1 or len(names) > 1 or len(data) + len(names) != len(lines):
        raise ValueError(f"no event that everybody understands: {block!r}")
    return Event(names[0] if names else None, None if data[0] == "[DONE]" else json.loads(data[0]))


def violations(events: Sequence[Event]) -> list[str]:
    """What is wrong with a stream, in words; nothing where it is as it should be."""
    lifecycle = Lifecycle()
    for at, event in enumerate(events):
        lifecycle.see(at, event)
    lifecycle.end()
    return lifecycle.found


class _Part:
    """A part of an item, or the one content of an item without parts."""

    def __init__(self) -> None:
        self.deltas: list[str] = []
        self.whole: str | None = None
        self.done: Data | None = None


class _Item:
    """An item that was added."""

    def __init__(self, added: Data) -> None:
        self.id = added.get("id")
        self.type = added.get("type")
        self.parts: dict[tuple[str, int], _Part] = {}
        self.bare: dict[str, _Part] = {}
        self.done: Data | None = None

    def parts_of(self, name: str) -> list[_Part]:
        return [part for (kind, _), part in self.parts.items() if kind == name]


class Lifecycle:
    """Sees the events one by one.

    Attributes:
        found: The violations so far.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._count = 0
        self._response_id: object = None
        self._items: list[_Item] = []
        self._terminal: str | None = None
        self._done_marks = 0

    def see(self, at: int, event: Event) -> None:
        """Take in the event at place ``at``."""
        if event.data is None:
            self._done_marks += 1
            self._hold(self._terminal is not None, f"[DONE] at {at} comes before a terminal event")
            self._hold(event.name is None, "[DONE] has an event line")
            return
        kind = str(event.data.get("type"))
        self._hold(event.name == kind, f"event {at}: the line says {event.name!r}, the data {kind!r}")
        self._hold(self._terminal is None and not self._done_marks, f"{kind} comes after the end")
        number = event.data.get("sequence_number")
        self._hold(number == self._count, f"{kind} has sequence number {number}, not {self._count}")
        opening = ("response.created", "response.in_progress")
        if self._count < len(opening):
            self._hold(kind == opening[self._count], f"event {at} is {kind}, not {opening[self._count]}")
        else:
            self._hold(kind not in opening, f"{kind} comes a second time")
        self._count += 1
        self._dispatch(kind, event.data)

    def end(self) -> None:
        """The stream has ended."""
        self._hold(self._terminal is not None, "there is no terminal event")
        self._hold(self._done_marks <= 1, "[DONE] comes more than once")

    def _dispatch(self, kind: str, data: Data) -> None:
        if "response" in data:
            self._snapshot(kind, data["response"])
        elif kind == "response.output_item.added":
            self._item_added(data)
        elif kind == "response.output_item.done":
            self._item_done(data)
        elif kind.endswith((".added", ".done", ".delta")):
            name, _, what = kind.rpartition(".")
            item = self._item_of(kind, data)
            if item is not None and name in PARTS:
                self._part(name, what, item, data)
            elif item is not None:
                self._content(name, what, item, data)

    def _hold(self, true: bool, violation: str) -> None:
        if not true:
            self.found.append(violation)

    # --- the response

    def _snapshot(self, kind: str, response: Data) -> None:
        self._response_id = self._response_id or response.get("id")
        self._hold(bool(response.get("id")), f"{kind}: the response has no id")
        self._hold(response.get("id") == self._response_id, f"{kind}: the response has another id")
        status = TERMINAL.get(kind)
        if status is None:
            self._hold(response.get("status") in {"in_progress", "queued"}, f"{kind}: it has ended already")
            self._hold(response.get("output") == [], f"{kind}: there is output already")
            return
        self._terminal = kind
        if status == "incomplete" and response.get("status") == "cancelled":
            status = "cancelled"  # there is no event of its own for that
        self._hold(response.get("status") == status, f"{kind}: the status is {response.get('status')}")
        self._reason(kind, status, response)
        self._output(kind, status, response.get("output"))

    def _reason(self, kind: str, status: str, response: Data) -> None:
        """Why it ended: a failure by its error, what is incomplete by its details, or by an error of ours."""
        error, details = response.get("error"), response.get("incomplete_details")
        told = isinstance(error, dict) and bool(error.get("code")) and bool(error.get("message"))
        said = isinstance(details, dict) and bool(details.get("reason"))
        lost = status == "incomplete" and error is not None
        self._hold(told == (status == "failed" or lost), f"{kind}: the error is {error}")
        self._hold(said == (status == "incomplete" and not lost), f"{kind}: incomplete_details are {details}")
        if status in {"completed", "incomplete"} and not lost:
            self._usage(kind, response.get("usage"))

    def _usage(self, kind: str, usage: object) -> None:
        if not isinstance(usage, dict):
            self.found.append(f"{kind}: there is no usage")
            return
        both = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        self._hold(usage.get("total_tokens") == both, f"{kind}: the usage does not add up")

    def _output(self, kind: str, status: str, output: object) -> None:
        done = [item.done for item in self._items if item.done is not None]
        if status in {"completed", "incomplete"}:
            self._hold(len(done) == len(self._items), f"{kind}: an item that was added is not done")
        same = isinstance(output, list) and [*map(_comparable, output)] == [*map(_comparable, done)]
        self._hold(same, f"{kind}: the output is not what the items were done with")
        cut = [item for item in done if item.get("status") == "incomplete"]
        self._hold(cut in ([], done[-1:]), f"{kind}: an incomplete item is not the last")
        self._hold(
            not cut or status == "incomplete", f"{kind}: an item is incomplete and the response is not"
        )

    # --- its items

    def _item_added(self, data: Data) -> None:
        item = _Item(data["item"])
        index = data.get("output_index")
        self._hold(bool(item.id), "an item has no id")
        self._hold(all(each.id != item.id for each in self._items), f"two items have the id {item.id}")
        self._hold(index == len(self._items), f"item {item.id} has output_index {index}")
        self._hold(data["item"].get("status") != "completed", f"item {item.id} is complete when it begins")
        self._items.append(item)

    def _item_of(self, kind: str, data: Data) -> _Item | None:
        index = data.get("output_index")
        if not isinstance(index, int) or not 0 <= index < len(self._items):
            self.found.append(f"{kind}: no item was added at output_index {index}")
            return None
        item = self._items[index]
        self._hold(data.get("item_id") == item.id, f"{kind}: item_id is {data.get('item_id')}, not {item.id}")
        self._hold(item.done is None, f"{kind}: item {item.id} is done already")
        return item

    def _item_done(self, data: Data) -> None:
        kind, done = "response.output_item.done", data["item"]
        item = self._item_of(kind, {**data, "item_id": done.get("id")})
        if item is None:
            return
        item.done = done
        self._hold(done.get("type") == item.type, f"{kind}: item {item.id} has become a {done.get('type')}")
        self._hold(done.get("status") != "in_progress", f"{kind}: item {item.id} is still in progress")
        for name, (_, field) in PARTS.items():
            parts = item.parts_of(name)
            self._hold(
                all(part.done is not None for part in parts), f"{kind}: a part of {item.id} is not done"
            )
            if parts or item.type == "message":
                same = done.get(field, []) == [part.done for part in parts]
                self._hold(same, f"{kind}: the {field} of {item.id} is not what its parts were done with")
        for name, part in item.bare.items():
            self._hold(part.whole is not None, f"{kind}: {name} of {item.id} is not done")
        if item.type == "function_call":
            whole = [part.whole for part in item.bare.values()]
            self._hold(whole == [done.get("arguments")], f"{kind}: the arguments of {item.id} differ")

    # --- their parts and content

    def _part(self, name: str, what: str, item: _Item, data: Data) -> None:
        index_name, _ = PARTS[name]
        key = (name, data.get(index_name, -1))
        if what == "added":
            self._hold(key[1] == len(item.parts_of(name)), f"{name}.added: {index_name} is {key[1]}")
            self._hold(not _whole(data["part"]), f"{name}.added: the part has content already")
            item.parts[key] = _Part()
            return
        part = item.parts.get(key)
        if part is None or part.done is not None:
            self.found.append(f"{name}.{what}: no such part is open")
            return
        part.done = data["part"]
        self._hold(part.whole is not None, f"{name}.done: its content is not done")
        self._hold(_whole(data["part"]) == part.whole, f"{name}.done: the part is not what its deltas say")

    def _content(self, name: str, what: str, item: _Item, data: Data) -> None:
        part = self._part_for(name, item, data)
        if part is None:
            self.found.append(f"{name}.{what}: no part is open for it")
            return
        self._hold(part.whole is None, f"{name}.{what}: it is done already")
        if what == "delta":
            self._hold(isinstance(data.get("delta"), str), f"{name}.delta: no text")
            part.deltas.append(str(data.get("delta")))
            return
        part.whole = _whole(data)
        self._hold(part.whole == "".join(part.deltas), f"{name}.done: it is not what the deltas say")

    def _part_for(self, name: str, item: _Item, data: Data) -> _Part | None:
        for part_name, (index_name, _) in PARTS.items():
            if index_name in data:
                part = item.parts.get((part_name, data[index_name]))
                return part if part is not None and part.done is None else None
        if item.type in {"message", "reasoning"}:
            return None
        return item.bare.setdefault(name, _Part())


def _comparable(item: Data) -> Data:
    """An item without what OpenAI encrypts anew each time."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def _whole(data: Data) -> str | None:
    return next((data[name] for name in WHOLE if name in data), None)


def renumbered(events: Iterable[Event]) -> list[Event]:
    """The events with their sequence numbers put right, so that these do not give a fault away."""
    numbered: list[Event] = []
    for event in events:
        number = sum(each.data is not None for each in numbered)
        data = None if event.data is None else {**event.data, "sequence_number": number}
        numbered.append(Event(event.name, data))
    return numbered
