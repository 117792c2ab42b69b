"""A provider that does what its script says: deterministic, for tests, demonstrations and benchmarks.

It speaks the OpenAI chat dialect in its conversions and uses no network at all.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from callboard.domain.delta import GenerationEvent
from callboard.errors import (
    ConfigurationError,
    RemoteWireError,
    StreamIncomplete,
    UpstreamAuthentication,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamOverloaded,
    UpstreamPermission,
    UpstreamQuota,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from callboard.providers.handler import ProviderCall
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.script import Cut, Effect, Fail, Hold, Pause, Script, effects
from callboard.providers.settings import ProviderSettings, options_as

RECORDED_CALLS = 1000

ERRORS: dict[str, type[UpstreamError]] = {
    error.type: error
    for error in (
        UpstreamError,
        UpstreamRateLimited,
        UpstreamAuthentication,
        UpstreamPermission,
        UpstreamInvalid,
        UpstreamNotFound,
        UpstreamQuota,
        UpstreamOverloaded,
        UpstreamServerError,
        UpstreamTimeout,
        UpstreamUnreachable,
        StreamIncomplete,
        RemoteWireError,
    )
}


class ScriptedOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a provider of kind ``scripted``."""

    script: Script = Script()


class Gate:
    """Where an answer waits: it sets ``reached``, and whoever lets it go on sets ``opened``."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.opened = anyio.Event()


class ScriptedHandler(OpenAIConversions):
    """The eight methods over a script.

    Attributes:
        calls: The most recent calls, oldest first; at most ``RECORDED_CALLS``.
        gates: The gates that `Hold` steps name, made when first asked for.
        open_answers: Answers entered and not yet left.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        script: Script | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Read the script from ``settings``, or take the one given.

        Raises:
            ConfigurationError: The script has unknown fields, steps or errors.
        """
        self._script = script if script is not None else options_as(ScriptedOptions, settings).script
        self._name = settings.name
        self._sleep = sleep
        self._number = 0
        self.calls: deque[ProviderCall] = deque(maxlen=RECORDED_CALLS)
        self.gates: defaultdict[str, Gate] = defaultdict(Gate)
        self.open_answers = 0
        _check_errors(self._script, settings.name)

    @asynccontextmanager
    async def initialize_client(self) -> AsyncIterator[None]:
        """Nothing to open."""
        yield

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[ScriptedAnswer]:
        """The next reply of the script; what comes before its first event happens while entering."""
        number, self._number = self._number, self._number + 1
        self.calls.append(call)
        reply = self._script.reply_to(call.request, number)
        program = effects(reply, call.request, model=call.upstream_name, number=number)
        answer = ScriptedAnswer(program, f"req-{number}", self._wait, self._error)
        self.open_answers += 1
        try:
            await answer.begin()
            yield answer
        finally:
            self.open_answers -= 1

    async def _wait(self, step: Pause | Hold) -> None:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
        else:
            gate = self.gates[step.gate]
            gate.reached.set()
            await gate.opened.wait()

    def _error(self, step: Fail | Cut) -> UpstreamError:
        if isinstance(step, Cut):
            return StreamIncomplete("the answer was cut before its end", provider=self._name)
        return ERRORS[step.error](
            step.message,
            provider=self._name,
            upstream_status=step.status,
            upstream_code=step.code,
            retry_after_s=step.retry_after_s,
        )


class ScriptedAnswer:
    """A reply as it happens."""

    def __init__(
        self,
        program: Iterator[Effect],
        request_id: str,
        wait: Callable[[Pause | Hold], Awaitable[None]],
        error: Callable[[Fail | Cut], UpstreamError],
    ) -> None:
        self.upstream_request_id: str | None = request_id
        self._program = program
        self._wait = wait
        self._error = error
        self._first: GenerationEvent | None = None

    async def begin(self) -> None:
        """Go on to the first event, which is shown later."""
        self._first = await self._advance()

    def __aiter__(self) -> ScriptedAnswer:
        return self

    async def __anext__(self) -> GenerationEvent:
        first, self._first = self._first, None
        return first if first is not None else await self._advance()

    async def _advance(self) -> GenerationEvent:
        for effect in self._program:
            if isinstance(effect, (Pause, Hold)):
                await self._wait(effect)
            elif isinstance(effect, (Fail, Cut)):
                raise self._error(effect)
            else:
                return effect
        raise StopAsyncIteration


def _check_errors(script: Script, provider: str) -> None:
    for reply in script.replies:
        for step in reply.steps:
            if isinstance(step, Fail) and step.error not in ERRORS:
                known = ", ".join(sorted(ERRORS))
                raise ConfigurationError(
                    f"provider {provider!r}: script: no error is called {step.error!r}; there are: {known}"
                )
