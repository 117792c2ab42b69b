"""Recorded exchanges with OpenAI's chat API and compatible ones; tests/data/recorded/README.md says whose."""

import json
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

_FILE = Path(__file__).parents[2] / "data" / "recorded" / "openai_chat.jsonl"


class _Request(Struct):
    host: str
    body: Raw


class _Response(Struct):
    status: int
    body: str
    headers: dict[str, str]


class Exchange(Struct):
    """One request and its answer."""

    id: str
    request: _Request
    response: _Response

    @property
    def sent(self) -> bytes:
        """The request's body."""
        return json.dumps(json.loads(bytes(self.request.body)), ensure_ascii=False).encode()

    @property
    def answer(self) -> bytes:
        """The response's body."""
        return self.response.body.encode()

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return self.response.status == 200 and not self.response.body.lstrip().startswith("{")


EXCHANGES = [msgspec.json.decode(line, type=Exchange) for line in _FILE.read_bytes().splitlines()]
STREAMS = [one for one in EXCHANGES if one.streamed]
DOCUMENTS = [one for one in EXCHANGES if one.response.status == 200 and not one.streamed]
ERRORS = [one for one in EXCHANGES if one.response.status != 200]
