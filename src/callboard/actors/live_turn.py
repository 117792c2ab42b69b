"""One live turn: performs the steps that the pure `callboard.actors.turn` decides.

Generations are made through `callboard.actors.generation`, tools run through the ToolRunner, and the
conversation is stored before the last event is shown, so that whoever has seen the end can go on from it.

Where the order allows it, each generation is sent as much of the conversation as the model's window holds
(`callboard.domain.budget`). That is a matter of sending only: the turn goes on with the whole conversation,
and stores it, so that a model with a larger window, asked later, is sent more again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import anyio
from anyio import CapacityLimiter
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectSendStream
from msgspec import Struct
from msgspec.structs import replace

from callboard.actors import turn
from callboard.actors.generation import LiveGeneration
from callboard.actors.numbering import Numbering
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.tool_runner import ListTools, RunTool, ToolRunner
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.budget import fitting, prompt_budget
from callboard.domain.delta import GenerationStarted, GenerationStopped
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, tool_uses
from callboard.domain.meter import Meter
from callboard.domain.model import ModelTraits
from callboard.domain.observation import (
    CommandCompleted,
    CommandStarted,
    Observation,
    ProviderAnswered,
    ToolExecuted,
    ToolExecuting,
)
from callboard.domain.pairing import repair
from callboard.domain.tools import ToolDefinition
from callboard.domain.turn import ToolFinished, ToolStarted, TurnEvent
from callboard.kernel import ActorRef
from callboard.providers.handler import ProviderHandler
from callboard.store.hidden_rounds import HiddenRounds, joined
from callboard.store.memory import MemoryStore, StoredResponse

PARALLEL_CALLS = 8
MANY_BLOCKS = 2_000
"""From so many on a conversation is long: each look through it takes so long that others go on in between."""


class AssistantSpec(Struct, frozen=True, kw_only=True):
    """An assistant as the operator describes it.

    Attributes:
        name: What users call it by.
        model: What answers where the request names no model.
        instructions: Go before whatever instructions the request has.
        tools: Names of the tools it may use; None allows all there are.
        max_rounds: Rounds of tools in one turn.
    """

    name: str
    model: str = ""
    instructions: str = ""
    tools: tuple[str, ...] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    max_rounds: int = 25


class Company(Struct, frozen=True, kw_only=True):
    """Whom an assistant works with, and what it knows of models (see `callboard.actors.assistant.Cast`)."""

    providers: ActorRef[ProviderSystem]
    traits_of: Callable[[str], ModelTraits]
    tools: ActorRef[ToolRunner]
    store: MemoryStore
    hidden: HiddenRounds
    observe: Callable[[Observation], None]


class TurnOrder(Struct, frozen=True, kw_only=True):
    """What is asked of an assistant.

    Attributes:
        request: An empty ``model`` means the assistant's; ``tools`` are the client's own.
        response_id: The answer's name, chosen by the asker.
        key: Whose limits, history and tools apply.
        meter: The request's running account; the turn writes to it until the stream is left.
        previous_response_id: The stored answer that this turn follows.
        store: Whether the conversation is kept, so that a later turn can follow this one.
        truncation: ``auto`` sends what fits where the conversation is longer than the model's window, as far
            as the operator has stated it; the latest turn goes whole or is refused with `ContextTooLong`.
            ``disabled`` sends everything, and what does not fit is the provider's to refuse: it is for
            clients that keep their conversations themselves and must not lose any of one unawares.
            Source: OpenAI Responses API, "Create a model response", ``truncation``.
    """

    request: GenerationRequest
    response_id: str
    key: str
    meter: Meter
    previous_response_id: str | None = None
    store: bool = False
    truncation: Literal["auto", "disabled"] = "disabled"


async def show(send: MemoryObjectSendStream[TurnEvent], event: TurnEvent) -> None:
    """Hand an event over; waits only while the reader is behind."""
    try:
        send.send_nowait(event)
    except anyio.WouldBlock:
        await send.send(event)


class LiveTurn:
    """See the module's docstring. Used once."""

    def __init__(self, spec: AssistantSpec, company: Company, order: TurnOrder) -> None:
        self._spec = spec
        self._company = company
        self._order = order
        self._meter = order.meter
        self._numbering = Numbering()
        self._handler: ProviderHandler | None = None
        self._is_long = False

    async def produce(self, send: MemoryObjectSendStream[TurnEvent]) -> None:
        """Run the turn from its first event to its last."""
        started_us = self._meter.elapsed_us()
        self._meter.assistant = self._spec.name
        self._meter.response_id = self._order.response_id
        self._observe(CommandStarted(request_id=self._meter.request_id, assistant=self._spec.name))
        step: turn.Generate | turn.RunTools | turn.Finish = await self._begin()
        while not isinstance(step, turn.Finish):
            if isinstance(step, turn.Generate):
                step = await self._generate(step.state, send)
            else:
                step = await self._run_tools(step, send)
        self._keep(step)
        await show(send, GenerationStopped(stop_reason=step.stop_reason, usage=step.state.usage))
        self._observe(
            CommandCompleted(
                request_id=self._meter.request_id,
                assistant=self._spec.name,
                duration_us=self._meter.elapsed_us() - started_us,
            )
        )

    async def _begin(self) -> turn.Generate:
        order = self._order
        history: tuple[Message, ...] = ()
        if order.previous_response_id is not None:
            history = self._company.store.messages(order.previous_response_id, key=order.key)
        messages = joined((*history, *self._company.hidden.restore(order.request.messages, key=order.key)))
        self._is_long = sum([len(message.content) for message in messages]) > MANY_BLOCKS
        await self._let_others_go_on()
        own = await self._own_tools()
        asked = order.request
        system = asked.system
        if self._spec.instructions:
            system = (TextBlock(text=self._spec.instructions), *system)
        # Ours first, in their sources' stable order: a provider's prompt cache lives on equal beginnings.
        request = replace(
            asked,
            model=asked.model or self._spec.model,
            messages=repair(messages),
            system=system,
            tools=(*own, *asked.tools),
            temperature=self._spec.temperature if asked.temperature is None else asked.temperature,
            max_output_tokens=asked.max_output_tokens or self._spec.max_output_tokens,
        )
        await self._let_others_go_on()
        policy = turn.TurnPolicy(
            own_tools=frozenset(tool.name for tool in own), max_rounds=self._spec.max_rounds
        )
        return turn.begin(request, policy)

    async def _let_others_go_on(self) -> None:
        if self._is_long:
            await checkpoint()

    async def _own_tools(self) -> tuple[ToolDefinition, ...]:
        """The tools of ours that this turn offers; the client's own of the same name wins."""
        choice = self._order.request.tool_choice
        if choice is not None and choice.mode == "none":
            return ()
        clients = {tool.name for tool in self._order.request.tools}
        allowed = self._spec.tools
        return tuple(
            tool
            for tool in await self._company.tools.ask(ListTools())
            if tool.name not in clients and (allowed is None or tool.name in allowed)
        )

    async def _generate(
        self, state: turn.TurnState, send: MemoryObjectSendStream[TurnEvent]
    ) -> turn.RunTools | turn.Finish:
        providers, meter = self._company.providers, self._meter
        request = self._sendable(state.request)
        await self._let_others_go_on()
        waiting = LiveGeneration(providers, request, self._order.key, meter)
        await self._let_others_go_on()
        async with waiting as generation:
            if self._handler is None:
                await show(send, GenerationStarted(id=self._order.response_id, model=generation.model))
            self._handler = generation.handler
            self._numbering.next_generation()
            async for event in generation:
                shown = self._numbering.shown(event, hide=lambda call: turn.runs_here(state, call))
                if shown is not None:
                    await show(send, shown)
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
        return turn.after_generation(state, result)

    def _sendable(self, request: GenerationRequest) -> GenerationRequest:
        """What is sent of ``request``. A fallback's window is not looked at: most calls never get there."""
        if self._order.truncation == "disabled":
            return request
        traits = self._company.traits_of(request.model)
        budget = prompt_budget(traits, request.max_output_tokens)
        return request if budget is None else fitting(request, budget, window_tokens=traits.context_window)

    async def _run_tools(
        self, step: turn.RunTools, send: MemoryObjectSendStream[TurnEvent]
    ) -> turn.Generate | turn.Finish:
        for call in step.calls:
            await show(send, ToolStarted(call=call))
        results: list[ToolResultBlock | None] = [None] * len(step.calls)
        places = CapacityLimiter(PARALLEL_CALLS)

        async def run(place: int, call: ToolUseBlock) -> None:
            async with places:
                results[place] = await self._run_tool(call)

        self._meter.enter("tool")
        try:
            async with anyio.create_task_group() as tasks:
                for place, call in enumerate(step.calls):
                    tasks.start_soon(run, place, call)
        finally:
            self._meter.enter("own")
        done = tuple(result for result in results if result is not None)
        for call, result in zip(step.calls, done, strict=True):
            await show(send, ToolFinished(name=call.name, result=result))
        return turn.after_tools(step, done)

    async def _run_tool(self, call: ToolUseBlock) -> ToolResultBlock:
        if self._handler is None:
            raise RuntimeError("tools were called before anything was generated")
        request_id, assistant = self._meter.request_id, self._spec.name
        self._observe(ToolExecuting(request_id=request_id, assistant=assistant, name=call.name))
        since_us = self._meter.elapsed_us()
        outcome = await self._company.tools.ask(RunTool(call=call))
        self._observe(
            ToolExecuted(
                request_id=request_id,
                assistant=assistant,
                name=call.name,
                duration_us=self._meter.elapsed_us() - since_us,
                failed=outcome.is_error,
            )
        )
        return self._handler.make_tool_result(call.id, outcome)

    def _keep(self, finish: turn.Finish) -> None:
        order, state = self._order, finish.state
        if order.store:
            self._company.store.save(
                StoredResponse(response_id=order.response_id, key=order.key, messages=state.request.messages)
            )
        elif finish.reason == "client_tools" and len(state.produced) > 1:
            shown = frozenset(
                call.id
                for message in state.produced
                for call in tool_uses(message)
                if not turn.runs_here(state, call)
            )
            self._company.hidden.remember(shown, state.produced, key=order.key)

    def _observe(self, observation: Observation) -> None:
        self._company.observe(observation)
