"""What is to be measured, as values: targets, load, window. The same plan is the same work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from callboard.errors import ConfigurationError, LocalWireError
from callboard.transport.outgoing import parse_url

Api: TypeAlias = Literal["chat", "responses"]
"""Which of OpenAI's two APIs a target is spoken to in."""

Arrivals: TypeAlias = Literal["constant", "poisson"]

_PATHS: dict[Api, str] = {"chat": "/chat/completions", "responses": "/responses"}
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(https?://.*)", re.DOTALL)


class Target(Struct, frozen=True, kw_only=True):
    """One endpoint.

    Attributes:
        name: What tables and charts call it.
        url: What requests are posted to.
    """

    name: str
    url: str


class ClosedLoop(Struct, frozen=True, kw_only=True, tag="closed_loop"):
    """So many callers, each of whom asks again as soon as it was answered.

    A slow answer delays the next question, so a stall costs each caller one slow request, however many would
    have come meanwhile: right for finding capacity, wrong for finding latency.
    """

    concurrency: int


class OpenLoop(Struct, frozen=True, kw_only=True, tag="open_loop"):
    """Requests come when they come, whatever became of those before.

    Attributes:
        rate: Requests per second.
        seed: Makes Poisson arrivals repeatable.
        max_in_flight: A request that is due while so many are under way is not sent, and counted as
            ``not_sent``.
    """

    rate: float
    arrivals: Arrivals = "constant"
    seed: int = 0
    max_in_flight: int = 1000


Load: TypeAlias = ClosedLoop | OpenLoop


class Window(Struct, frozen=True, kw_only=True):
    """When to measure: after the warm-up, until the time is over or the requests are used up.

    Requests that began in the window are counted to their end.

    Attributes:
        duration_s: None where ``count`` ends it.
        count: Measured requests; None where ``duration_s`` ends it.
    """

    warmup_s: float = 0.0
    duration_s: float | None = None
    count: int | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """The whole of one benchmark.

    Attributes:
        targets: The first is what the others are compared with.
        model: None where the payloads name it.
        stream: None where the payloads say it.
        steps: One load, or the rates of a sweep.
        sweep: Whether a target leaves at the first step that it does not sustain.
        rounds: How often each step is measured; the targets take turns within a round.
        max_failures: The share of requests that may fail, 0 to 1.
    """

    targets: tuple[Target, ...]
    api: Api = "chat"
    model: str | None = None
    stream: bool | None = None
    steps: tuple[Load, ...]
    sweep: bool = False
    window: Window
    rounds: int = 1
    timeout_s: float = 600.0
    max_failures: float = 0.01


def endpoint(url: str, api: Api) -> str:
    """What to post to, from a base URL as OpenAI's clients take it (``http://host/v1``).

    A bare origin gets ``/v1``; a URL that already ends in the API's path is taken as it is.
    """
    whole = url.rstrip("/")
    if whole.endswith(_PATHS[api]):
        return whole
    bare = "/" not in whole.partition("://")[2]
    return f"{whole}{'/v1' if bare else ''}{_PATHS[api]}"


def targets_of(words: Sequence[str], api: Api) -> tuple[Target, ...]:
    """The targets that ``URL`` or ``NAME=URL`` name; an unnamed one is called by its host.

    Raises:
        ConfigurationError: A URL cannot be used, or two targets have one name.
    """
    targets: list[Target] = []
    for word in words:
        named = _NAMED.fullmatch(word)
        url = endpoint(named[2] if named else word, api)
        try:
            _, _, authority = parse_url(url)
        except LocalWireError as error:
            raise ConfigurationError(f"--url {word}: {error}") from error
        targets.append(Target(name=named[1] if named else authority, url=url))
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"--url: two targets are called {name}; name them with NAME=URL")
    return tuple(targets)
