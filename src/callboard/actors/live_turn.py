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
from callboard.actors.approvals import Approvals, shown_calls, whole
from callboard.actors.conversation import Thread, earlier
from callboard.actors.direct import log_call, tell_answer
from callboard.actors.generation import LiveGeneration
from callboard.actors.numbering import Numbering
from callboard.actors.offered import Offered, own_tools
from callboard.actors.order import AssistantSpec, Company, TurnOrder, record_of
from callboard.actors.progress import Progress
from callboard.actors.recorder import Recorder
from callboard.actors.remote_tools import RemoteTools
from callboard.actors.showing import Showing
from callboard.actors.telling import Reader, Telling
from callboard.actors.tool_call import run_tool
from callboard.domain.approval import answered_before
from callboard.domain.block import TextBlock, ToolUseBlock
from callboard.domain.budget import prompt_budget, shortening
from callboard.domain.delta import GenerationStarted, GenerationStopped
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.item import lifted, together
from callboard.domain.observation import (
    CommandCompleted,
    CommandStarted,
    EndNotKept,
    Observation,
    ProviderAnswered,
)
from callboard.domain.steps import in_turns
from callboard.domain.turn import ApprovalAsked, ToolFinished, TurnEvent, is_complete
from callboard.domain.turn_log import (
    HiddenCall,
    LogEvent,
    RoundEnded,
    TurnBroken,
    TurnInterrupted,
    broken,
)
from callboard.domain.usage import Usage
from callboard.errors import AlreadyExists, CallboardError, Conflict, NotFound, StoreUnavailable
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
        whole: Whether nobody is told anything before the end.
    """

    def __init__(
        self,
        spec: AssistantSpec,
        company: Company,
        order: TurnOrder,
        *,
        recorder: Recorder | None = None,
        log: Sequence[LogEvent] = (),
        whole: bool = False,
    ) -> None:
        self._spec = spec
        self._whole = whole
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
        self._remote = RemoteTools(company, order)
        self._approvals = Approvals(company, spec, order, self._remote)
        self._showing = Showing(order)
        self._begun = False
        self._asked: frozenset[str] = frozenset()
        self._announced: frozenset[str] = frozenset()
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
        await self._remote.during(self._take_steps)

    async def _take_steps(self) -> None:
        step, pending = await self._begin()
        if self._approvals.answered and not self._log:
            await self._take_answers(step)
        while not isinstance(step, turn.Finish):
            self._state = step.state
            if isinstance(step, turn.Generate):
                step = await self._generate(step.state)
            else:
                step = await self._run_tools(step, pending)
            pending = None  # a model may give calls of different rounds one name
        self._state = step.state
        if step.state.direct:
            await tell_answer(self._telling, self._order.response_id, step.state)
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
        restoring = self._company.hidden.restoring(order.request.messages, key=order.principal.tenant)
        restored = await in_turns(restoring)
        messages = await self._approvals.settle(history, restored, again=bool(self._log))
        own = await own_tools(self._company, self._spec, order, self._remote)
        self._showing = Showing(order, own)
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
        approved = self._approvals.approved
        first = turn.resume(request, policy, approved) if approved else turn.begin(request, policy)
        if order.direct is not None:
            log_call(self._telling, order.direct)
            return turn.directly(request, policy, order.direct), None
        return self._continued(first) if self._log else (first, None)

    def _continued(
        self, first: turn.Generate | turn.RunTools
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
        self._begun, self._asked = progress.begun, frozenset(progress.asked)
        self._numbering = Numbering(progress.shown)
        return progress.step, progress

    async def _take_answers(self, step: turn.Step) -> None:
        """Remember the answers to earlier requests, and with them what is begun because of them."""
        begun: tuple[TurnEvent, ...] = ()
        self._company.routes.candidates(step.state.request.model)  # else it would fail when the calls are run
        if isinstance(step, turn.RunTools):
            # The client learns the response's name now: should it be lost, what its tools did can be read.
            started = GenerationStarted(id=self._order.response_id, model=step.state.request.model)
            begun = (started, *self._showing.listings(), *map(self._showing.started, step.calls))
            self._begun, self._announced = True, frozenset(call.id for call in step.calls)
        try:
            await self._approvals.take(self._recorder)
            await self._telling.announce(begun)
        except AlreadyExists as taken:
            raise answered_before(", ".join(self._approvals.answered)) from taken

    # --- the steps
    # ------------------------------------------------------------------------------------------

    async def _generate(self, state: turn.TurnState) -> turn.Step:
        meter = self._meter
        request = state.request
        if self._approvals.approved:  # what came of them stands apart from what else the user's turn says
            request = replace(request, messages=await whole(request.messages))
        request = await self._sendable(request)
        key = self._order.principal.key_id
        waiting = await LiveGeneration.of(
            self._company.providers, request, key, meter, stream=not self._whole
        )
        async with waiting as generation:
            if not self._begun:
                self._begun = True
                begun = GenerationStarted(id=self._order.response_id, model=generation.model)
                await self._telling.tell((begun, *self._showing.listings()))
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
        if result.stop_reason not in turn.CUT_SHORT:
            result = await self._approvals.marked(state, result)
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
            [
                self._showing.started(call)
                for call in calls.values()
                if call.id not in started | self._announced
            ]
        )
        self._announced = frozenset()
        places = CapacityLimiter(PARALLEL_CALLS)
        offered = Offered(names=step.state.policy.own_tools | self._approvals.names, remote=self._remote)
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
        outcome = tuple(results[call.id] for call in step.calls)
        if step.calls == self._approvals.approved and self._recorder is None and not self._order.servers:
            self._approvals.remember_for_later(step.state, outcome)
        return turn.after_tools(step, outcome)

    # --- the end
    # --------------------------------------------------------------------------------------------

    async def _finish(self, finish: turn.Finish) -> None:
        order, state, recorder = self._order, finish.state, self._recorder
        last = GenerationStopped(stop_reason=finish.stop_reason, usage=state.usage)
        produced, now_s = state.produced, int(self._company.now_s())
        asked = [ApprovalAsked(call=call) for call in turn.waiting(state) if call.id not in self._asked]
        if recorder is not None:
            self._meter.finished_at_s = now_s
            complete = is_complete(finish.stop_reason, (block for each in produced for block in each.content))
            status: Status = "completed" if complete else "incomplete"
            await recorder.end((*asked, last), status, produced, now_s, self._thread)
        elif self._thread is not None:
            await self._thread.commit((), produced, now_s)
        if finish.reason == "client_tools" and len(produced) > 1 and not order.servers:
            # Who sends the conversation back himself sends it without what our tools found.
            shown = shown_calls(state, produced)
            self._company.hidden.remember(shown, produced, key=order.principal.tenant)
        if order.told is not None:
            order.told(state.request.messages)
        await self._telling.show((*asked, last))

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
        last = TurnBroken(why="cancelled") if why is None else broken(why)
        produced = () if state is None else state.produced
        status: Status = "cancelled" if why is None else "failed"
        with anyio.move_on_after(LAST_WRITE_S, shield=True):
            try:
                await recorder.end((last,), status, produced, int(self._company.now_s()))
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
