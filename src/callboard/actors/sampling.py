"""Sampling: an MCP server's request becomes a generation by one of our models, at its caller's cost.

`SamplingManager.answer` is what a tool host awaits while the call of a tool is pending in which the server
asks. It runs in the task of whoever awaits it, as upstream calls do everywhere: it needs no place of the tool
runner's and no turn of the host's, so a call that waits for its own sampling cannot stand in its way.
Cancelling it closes the upstream. The manager is a value and no actor, because it has no state that could be
lost: limits, ledger and breakers are the provider system's and the limiter's, and what a call may still ask
belongs to the call (`callboard.domain.sampling.Originator`).

Nothing is changed by choosing a model, so concurrent requests with different preferences each get their own.
No tool of ours is ever offered to the model that answers a server, so an answer causes no further call.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from callboard.actors.generation import LiveGeneration
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.sampling_request import check_traits, generation_request, sampling_result
from callboard.domain import estimate
from callboard.domain.block import TextBlock
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import Message
from callboard.domain.meter import Meter
from callboard.domain.model import ModelSpec
from callboard.domain.observation import Observation, ProviderAnswered
from callboard.domain.preferences import ModelPreferences, able, choose, preferences_for
from callboard.domain.principal import is_among
from callboard.domain.sampling import (
    CreateMessage,
    Originator,
    SamplingError,
    SamplingPolicy,
    SamplingResult,
    decode_params,
)
from callboard.domain.tools import ToolDefinition
from callboard.errors import InvalidRequest, PermissionDenied, Refusal, UnknownModel, UpstreamError
from callboard.kernel import ActorRef

MAX_DEPTH = 1
"""A server may ask in a call of a client's turn, and not in one that is made to answer a server."""

INVALID_PARAMS, REJECTED, INTERNAL = -32602, -1, -32603
"""Codes of the errors that are no HTTP status.

Source: JSON-RPC 2.0, 5.1; MCP 2025-11-25, client/sampling, "Error Handling".
"""

NO_POLICIES: Mapping[str, SamplingPolicy] = {}

MessageProvider = Callable[[int | None, ModelSpec], Awaitable[Sequence[Message]]]
"""Gives the messages that a variable stands for: within so many tokens (None where the model's window is not
stated), for this model."""

NO_PROVIDERS: Mapping[str, MessageProvider] = {}


class RequestConfig(Struct, frozen=True, kw_only=True):
    """How a sampled generation is asked for, where the server leaves it open.

    Attributes:
        max_output_tokens: The most an answer may have, whatever server and policy say; None leaves it to
            them.
        reasoning_effort: For models that reason.
    """

    max_output_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: str | None = "medium"


class SamplingConfig(Struct, frozen=True, kw_only=True):
    """What sampling starts from.

    Attributes:
        service_config: The model where ``client_configs`` names none.
        tools_config: What a handler's host may offer where it makes generations itself;
            `SamplingManager.answer` never offers them.
        client_configs: The models a server may be given, in order of preference.
        default_model_preferences: Apply where a request states none.
        message_providers: What ``{"variable": NAME}`` stands for as the whole text of a message, by NAME.
            Each gives servers a way to have a model read what it provides; there are none by default.
    """

    request_config: RequestConfig = RequestConfig()
    service_config: ModelSpec | None = None
    tools_config: tuple[ToolDefinition, ...] = ()
    client_configs: tuple[ModelSpec, ...] = ()
    default_model_preferences: ModelPreferences | None = None
    message_providers: Mapping[str, MessageProvider] = NO_PROVIDERS

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """The models to choose among."""
        only = self.service_config
        return self.client_configs or (() if only is None else (only,))


class SamplingHandler(Struct, frozen=True, kw_only=True):
    """Chooses for one server's requests."""

    config: SamplingConfig
    tools: tuple[ToolDefinition, ...] = ()

    def model_for(self, preferences: ModelPreferences | None) -> ModelSpec:
        """The model for a request; its own preferences go before the default ones.

        Raises:
            UnknownModel: No model is configured for sampling.
        """
        model = choose(self.config.models, preferences or self.config.default_model_preferences)
        if model is None:
            raise UnknownModel("no model is configured for sampling")
        return model


class SamplingManager:
    """Makes handlers of one configuration, and answers servers. One for each runtime: it numbers its answers.

    Args:
        config: What sampling starts from.
        policies: What each MCP server may, by its configured name; a server without one may nothing.
        observe: Told of every answer.
    """

    def __init__(
        self,
        config: SamplingConfig,
        policies: Mapping[str, SamplingPolicy] = NO_POLICIES,
        observe: Callable[[Observation], None] | None = None,
    ) -> None:
        self._config = config
        self._policies = policies
        self._observe = observe
        self._numbers = itertools.count(1)

    def create_handler(self) -> SamplingHandler:
        """A handler with the configured models, tools and preferences."""
        return SamplingHandler(config=self._config, tools=self._config.tools_config)

    def configure_handler(
        self, handler: SamplingHandler, tools: tuple[ToolDefinition, ...]
    ) -> SamplingHandler:
        """``handler`` with these tools; the handler given is not changed."""
        return replace(handler, tools=tools)

    def get_model_preferences_for_request(self, request_type: str) -> ModelPreferences:
        """What a type of request asks for by default."""
        return preferences_for(request_type)

    def policy_of(self, server: str) -> SamplingPolicy:
        """What ``server`` may: whether a host tells it that there is sampling, and with tools."""
        return self._policies.get(server, SamplingPolicy())

    async def answer(
        self,
        server: str,
        params: bytes | CreateMessage,
        on_behalf: Originator,
        providers: ActorRef[ProviderSystem],
    ) -> SamplingResult:
        """Answer ``sampling/createMessage``, within the limits of whoever the server works for.

        Args:
            server: Who asks, by its configured name.
            params: What it asks for; as JSON where they have not been read yet.
            on_behalf: The pending call in which it asks.
            providers: Makes the generation possible.

        Raises:
            PermissionDenied: The policy does not let the server ask, not so deep, or not so often.
            InvalidRequest: What it asks for is not what the schema says, or not allowed.
            UnknownModel: No model is left that both the policy and the caller's key allow.
            RateLimited, BudgetExceeded, UpstreamError: As for any other generation of the caller's.
        """
        policy = self.policy_of(server)
        _admit(policy, on_behalf)
        asked = params if isinstance(params, CreateMessage) else decode_params(params)
        request = generation_request(asked, policy)
        spec = self._model(request, asked, policy, on_behalf)
        check_traits(request, spec.traits, spec.name)
        request = await self._with_variables(self._for_model(request, spec), spec)
        generation = await self._generate(request, on_behalf, providers)
        return sampling_result(generation, tools=bool(request.tools))

    def _model(
        self,
        request: GenerationRequest,
        asked: CreateMessage,
        policy: SamplingPolicy,
        on_behalf: Originator,
    ) -> ModelSpec:
        own = asked.model_preferences
        models = tuple(
            spec
            for spec in self._config.models
            if is_among(spec.name, policy.models) and on_behalf.principal.may_ask(spec.name)
        )
        offered = replace(self._config, client_configs=able(models, request), service_config=None)
        return SamplingHandler(config=offered).model_for(None if own is None else own.preferences())

    def _for_model(self, request: GenerationRequest, spec: ModelSpec) -> GenerationRequest:
        config = self._config.request_config
        bounds = (request.max_output_tokens, config.max_output_tokens, spec.traits.max_output_tokens)
        effort = request.reasoning_effort or config.reasoning_effort
        return replace(
            request,
            model=spec.name,
            max_output_tokens=min(bound for bound in bounds if bound is not None),
            temperature=config.temperature if request.temperature is None else request.temperature,
            reasoning_effort=effort if spec.traits.reasoning else None,
        )

    async def _with_variables(self, request: GenerationRequest, spec: ModelSpec) -> GenerationRequest:
        providers = self._config.message_providers
        if not providers:
            return request
        window = spec.traits.context_window
        left = None
        if window is not None:
            left = max(0, window - (request.max_output_tokens or 0) - estimate.prompt_tokens(request))
        messages: list[Message] = []
        for message in request.messages:
            provider = providers.get(_variable(message) or "")
            if provider is None:
                messages.append(message)
            else:
                messages += await provider(left, spec)
        return replace(request, messages=tuple(messages))

    async def _generate(
        self, request: GenerationRequest, on_behalf: Originator, providers: ActorRef[ProviderSystem]
    ) -> Generation:
        caller = on_behalf.meter
        # Several calls of a turn run at once, and a meter is for one at a time.
        account = f"{caller.account_id}.sampling{next(self._numbers)}"
        meter = Meter(caller.request_id, "sampling", time.perf_counter_ns, account_id=account)
        waiting = await LiveGeneration.of(providers, request, on_behalf.principal.key_id, meter)
        try:
            async with waiting as generation:
                while await generation.some():
                    pass
        finally:
            caller.attempts += meter.attempts
            caller.usage += meter.usage
            caller.cost_picousd += meter.cost_picousd
        result = generation.result
        if result is None:
            raise RuntimeError("a generation ended without its last event and without an error")
        if self._observe is not None:
            self._observe(
                ProviderAnswered(
                    request_id=caller.request_id,
                    assistant=caller.assistant or "",
                    provider=generation.provider,
                    model=generation.model,
                    tokens=meter.usage.total_tokens,
                )
            )
        return result


def error_of(error: Exception) -> SamplingError:
    """What a server is told of an error: a code, and words of ours; a provider's own may hold secrets.

    The code of what a provider or a limit refused is its HTTP status.
    """
    match error:
        case UpstreamError():
            status = error.upstream_status or error.status_hint
            return SamplingError(code=status, message=f"the model could not be asked: {error.type}")
        case InvalidRequest():
            return SamplingError(code=INVALID_PARAMS, message=str(error))
        case PermissionDenied():
            return SamplingError(code=REJECTED, message=str(error))
        case UnknownModel():
            return SamplingError(code=error.status_hint, message="no model is configured for sampling")
        case Refusal():
            return SamplingError(
                code=error.status_hint, message=f"the model could not be asked: {error.type}"
            )
        case _:
            return SamplingError(code=INTERNAL, message="error handling sampling request")


def _admit(policy: SamplingPolicy, on_behalf: Originator) -> None:
    if not policy.enabled:
        raise PermissionDenied("sampling is not allowed for this server")
    if on_behalf.depth >= MAX_DEPTH:
        raise PermissionDenied("sampling within sampling is not allowed")
    if on_behalf.asked >= policy.max_requests:
        raise PermissionDenied("this call has asked too often")
    on_behalf.asked += 1


class _Variable(Struct, frozen=True, forbid_unknown_fields=True):
    variable: str


_VARIABLE = msgspec.json.Decoder(_Variable)


def _variable(message: Message) -> str | None:
    """The name of the variable that is the message's whole text."""
    match message.content:
        case (TextBlock(text=text),) if text.startswith("{") and text.endswith("}"):
            try:
                return _VARIABLE.decode(text).variable
            except msgspec.MsgspecError:
                return None
        case _:
            return None
