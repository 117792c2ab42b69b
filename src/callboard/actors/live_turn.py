"""One live turn: performs the steps that the pure `callboard.actors.turn` decides.

Generations are made through `callboard.actors.generation`, tools run through the ToolRunner. What is kept of
the turn goes to its log first (`callboard.actors.recorder`): that it began, what tools are to be run, what
they came to, that a part of the answer is whole, and how it ended are durable before anybody sees them or
anything follows from them. So another process can go on from the log (`callboard.actors.progress`), and
whoever has seen the end can follow it.

Where the order allows it, each generation is sent as much of the conversation as the model's window holds
(`callboard.domain.budget`). That is a matter of sending only: the turn goes on with the whole conversation,
and stores it, so that a model with a larger window, asked later, is sent more again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio import CapacityLimiter
from msgspec.structs import replace

from callboard.actors import turn
from callboard.actors.conversation import Thread, earlier
from callboard.actors.generation import LiveGeneration
from callboard.actors.numbering import Numbering
from callboard.actors.order import AssistantSpec, Company, TurnOrder, record_of
from callboard.actors.progress import Progress
from callboard.actors.recorder import Recorder
from callboard.actors.telling import Reader, Telling
from callboard.actors.tool_call import run_tool
from callboard.actors.tool_runner import ListTools
from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.budget import prompt_budget, shortening
from callboard.domain.delta import GenerationStarted, GenerationStopped
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.item import lifted, together
from callboard.domain.message import Message, tool_uses
from callboard.domain.observation import (
    CommandCompleted,
    CommandStarted,
    EndNotKept,
    Observation,
    ProviderAnswered,
)
from callboard.domain.pairing import repairing
from callboard.domain.steps import Steps, in_turns
from callboard.domain.tools import ToolDefinition
from callboard.domain.turn import ToolFinished, ToolStarted, is_complete
from callboard.domain.turn_log import (
    HiddenCall,
    LogEvent,
    RoundEnded,
    TurnBroken,
    TurnInterrupted,
    broken,
)
from callboard.domain.usage import Usage
from callboard.errors import CallboardError, Conflict, NotFound, StoreUnavailable
from callboard.store.hidden_rounds import joining
from callboard.store.records import Status

PARALLEL_CALLS = 8
LAST_WRITE_S = 5.0
"""Time for the store to take the end of a turn that broke off."""


class LiveTurn:
    """See the module's docstring. Used once.

    Args:
        spec: Who answers.
        company: Whom it works with.
        order: What is asked.
        recorder: Writes the log of a turn that is stored already; for any other it is made here.
        log: What happened in another process, where the turn is continued.
    """

    def __init__(
        self,
        spec: AssistantSpec,
        company: Company,
        order: TurnOrder,
        *,
        recorder: Recorder | None = None,
        log: Sequence[LogEvent] = (),
    ) -> None:
        self._spec = spec
        self._company = company
        self._order = order
        self._meter = order.meter
        self._log = log
        if recorder is None and order.keep is not None:
            recorder = Recorder(company.archivist, record_of(order, order.keep, spec.name, spec.model))
        self._recorder = recorder
        asked_in = order.conversation_id
        self._thread = None if asked_in is None else Thread(company, order, asked_in)
        self._telling = Telling(order, recorder, self._thread)
        self._numbering = Numbering()
        self._begun = False
        self._state: turn.TurnState | None = None

    async def produce(self, reader: Reader) -> None:
        """Run the turn from its first event to its last, for one reader."""
        self._telling.reader = reader
        await self._account_for(self._perform)

    async def undertake(self) -> None:
        """Run the turn for whoever reads its log.

        Cancelled, it stands as it is, and can be continued.
        """
        recorder = self._recorder
        if recorder is None:
            raise RuntimeError("nobody would ever hear of a turn that is not kept")
        keep_up = recorder.keep_up

        async def perform() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep_up)
                await self._perform()
                tasks.cancel_scope.cancel()

        await self._account_for(perform)

    async def _account_for(self, perform: Callable[[], Awaitable[None]]) -> None:
        started_us = self._meter.elapsed_us()
        request_id, assistant = self._meter.request_id, self._spec.name
        self._meter.assistant = assistant
        self._meter.response_id = self._order.response_id
        self._observe(CommandStarted(request_id=request_id, assistant=assistant))
        try:
            await perform()
        except BaseException as error:
            await self._break_off(error)
            raise
        finally:
            if self._recorder is not None:
                self._recorder.let_go(self._company.adrift)
        self._observe(
            CommandCompleted(
                request_id=request_id,
                assistant=assistant,
                duration_us=self._meter.elapsed_us() - started_us,
            )
        )

    async def _perform(self) -> None:
        step, pending = await self._begin()
        while not isinstance(step, turn.Finish):
            self._state = step.state
            if isinstance(step, turn.Generate):
                step = await self._generate(step.state)
            else:
                step = await self._run_tools(step, pending)
            pending = None  # a model may give calls of different rounds one name
        self._state = step.state
        await self._finish(step)

    # --- beginning
    # ------------------------------------------------------------------------------------------

    async def _begin(self) -> tuple[turn.Step, Progress | None]:
        """The first step; where the turn is continued, with what was done of it."""
        order = self._order
        system, history = order.request.system, order.history
        if order.previous_response_id is not None or order.conversation_id is not None:
            before, kept = lifted(await earlier(self._company.store, order))
            history, system = together(kept), (*before, *system)
        messages = await in_turns(self._putting_together(history))
        own = await self._own_tools()
        asked = order.request
        order.principal.check_model(asked.model or self._spec.model)
        if self._spec.instructions:
            system = (TextBlock(text=self._spec.instructions), *system)
        # Ours first, in their sources' stable order: a provider's prompt cache lives on equal beginnings.
        request = replace(
            asked,
            model=asked.model or self._spec.model,
            messages=messages,
            system=system,
            tools=(*own, *asked.tools),
            temperature=self._spec.temperature if asked.temperature is None else asked.temperature,
            max_output_tokens=asked.max_output_tokens or self._spec.max_output_tokens,
        )
        policy = turn.TurnPolicy(
            own_tools=frozenset(tool.name for tool in own),
            max_rounds=self._spec.max_rounds,
            max_calls=order.max_tool_calls,
        )
        first = turn.begin(request, policy)
        return self._continued(first) if self._log else (first, None)

    def _putting_together(self, history: Sequence[Message]) -> Steps[tuple[Message, ...]]:
        """The conversation that the turn begins with, from what was kept and what was sent."""
        order = self._order
        sent = order.request.messages
        restored = yield from self._company.hidden.restoring(sent, key=order.principal.tenant)
        joined = yield from joining((*history, *restored))
        return (yield from repairing(joined))

    def _continued(
        self, first: turn.Generate
    ) -> tuple[turn.Generate | turn.RunTools | turn.Finish, Progress]:
        progress = Progress(first)
        progress.feed(self._log)
        if self._thread is not None:
            for event in self._log:
                self._thread.feed(event)
        if progress.within_a_generation:
            interrupted = TurnInterrupted()
            progress.feed((interrupted,))
            self._telling.log((interrupted,))
        self._begun = progress.begun
        self._numbering = Numbering(progress.shown)
        return progress.step, progress

    async def _own_tools(self) -> tuple[ToolDefinition, ...]:
        """The tools of ours that this turn offers and runs; the client's own of the same name wins."""
        choice = self._order.request.tool_choice
        if choice is not None and choice.mode == "none":
            return ()
        listing = ListTools(
            assistants=self._spec.tools,
            keys=self._order.principal.tools,
            besides=frozenset(tool.name for tool in self._order.request.tools),
        )
        return await self._company.tools.ask(listing)

    # --- the steps
    # ------------------------------------------------------------------------------------------

    async def _generate(self, state: turn.TurnState) -> turn.Step:
        meter = self._meter
        request = await self._sendable(state.request)
        waiting = await LiveGeneration.of(
            self._company.providers, request, self._order.principal.key_id, meter
        )
        async with waiting as generation:
            if not self._begun:
                self._begun = True
                begun = GenerationStarted(id=self._order.response_id, model=generation.model)
                await self._telling.tell((begun,))
            self._numbering.next_generation()
            while events := await generation.some():
                await self._telling.tell(
                    self._numbering.shown(events, hide=lambda call: turn.runs_here(state, call))
                )
        result = generation.result
        if result is None:
            raise RuntimeError("a generation ended without its last event and without an error")
        usage = result.usage
        self._observe(
            ProviderAnswered(
                request_id=meter.request_id,
                assistant=self._spec.name,
                provider=generation.provider,
                model=generation.model,
                tokens=usage.total_tokens if usage is not None else 0,
            )
        )
        self._telling.log((_round_of(state, result),))
        return turn.after_generation(state, result)

    async def _sendable(self, request: GenerationRequest) -> GenerationRequest:
        """What is sent of ``request``. A fallback's window is not looked at: most calls never get there."""
        if self._order.truncation == "disabled":
            return request
        traits = self._company.routes.candidates(request.model)[0].traits
        budget = prompt_budget(traits, request.max_output_tokens)
        if budget is None:
            return request
        return await in_turns(shortening(request, budget, traits.context_window))

    async def _run_tools(self, step: turn.RunTools, done: Progress | None) -> turn.Generate | turn.Finish:
        """Run the calls of ``step`` but for those that were ``done`` before; none twice that must not be."""
        results = dict(done.results) if done is not None else {}
        started = frozenset(done.started if done is not None else ())
        # A model that gives two calls one name means one call.
        calls = {call.id: call for call in step.calls if call.id not in results}
        await self._telling.announce(
            [ToolStarted(call=call) for call in calls.values() if call.id not in started]
        )
        places = CapacityLimiter(PARALLEL_CALLS)
        offered = step.state.policy.own_tools
        principal = self._order.principal

        async def run(call: ToolUseBlock) -> None:
            async with places:
                again = call.id in started
                result = await run_tool(
                    self._company, self._meter, call, principal=principal, offered=offered, again=again
                )
            results[call.id] = result
            await self._telling.tell((ToolFinished(name=call.name, result=result),))

        self._meter.enter("tool")
        try:
            async with anyio.create_task_group() as tasks:
                for call in calls.values():
                    tasks.start_soon(run, call)
        finally:
            self._meter.enter("own")
        return turn.after_tools(step, tuple(results[call.id] for call in step.calls))

    # --- the end
    # --------------------------------------------------------------------------------------------

    async def _finish(self, finish: turn.Finish) -> None:
        order, state, recorder = self._order, finish.state, self._recorder
        last = GenerationStopped(stop_reason=finish.stop_reason, usage=state.usage)
        produced, now_s = state.produced, int(self._company.now_s())
        if recorder is not None:
            recorder.add((last,))
            self._meter.finished_at_s = now_s
            complete = is_complete(finish.stop_reason, (block for each in produced for block in each.content))
            await recorder.end("completed" if complete else "incomplete", produced, now_s, self._thread)
        elif self._thread is not None:
            await self._thread.commit((), produced, now_s)
        if finish.reason == "client_tools" and len(produced) > 1:
            # Who sends the conversation back himself sends it without what our tools found.
            shown = frozenset(
                call.id
                for message in produced
                for call in tool_uses(message)
                if not turn.runs_here(state, call)
            )
            self._company.hidden.remember(shown, produced, key=order.principal.tenant)
        if order.told is not None:
            order.told(state.request.messages)
        await self._telling.show((last,))

    async def _break_off(self, error: BaseException) -> None:
        """Keep how far the turn came. Nobody was told of one that is not stored yet, so it has not been."""
        recorder, state = self._recorder, self._state
        if recorder is None or not recorder.stored:
            return
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        cancelled = not isinstance(error, Exception) or isinstance(error, anyio.get_cancelled_exc_class())
        keep = self._order.keep
        if keep is not None and keep.background and (cancelled or isinstance(error, StoreUnavailable)):
            return  # it can go on from where its log stands
        stopped = self._order.stopped
        why = stopped() if cancelled and stopped is not None else None if cancelled else error
        recorder.add((TurnBroken(why="cancelled") if why is None else broken(why),))
        produced = () if state is None else state.produced
        status: Status = "cancelled" if why is None else "failed"
        with anyio.move_on_after(LAST_WRITE_S, shield=True):
            try:
                await recorder.end(status, produced, int(self._company.now_s()))
            except (Conflict, NotFound):
                pass  # somebody else has ended it, or deleted it, and that is why we are here
            except CallboardError as unwritten:
                self._observe(EndNotKept(response_id=self._order.response_id, error_type=unwritten.type))

    def _observe(self, observation: Observation) -> None:
        self._company.observe(observation)


def _round_of(state: turn.TurnState, result: Generation) -> RoundEnded:
    hidden = tuple(
        HiddenCall(place=place, call=block)
        for place, block in enumerate(result.content)
        if isinstance(block, ToolUseBlock) and turn.runs_here(state, block)
    )
    return RoundEnded(stop_reason=result.stop_reason, usage=result.usage or Usage(), hidden=hidden)
