"""From a configuration to a supervision tree: the one file that sees every layer.

The tree, in starting order (stopping is the reverse)::

    callboard
    ├── rate_limiter         limits and ledger
    ├── provider_system      routes, health, grants                     asks rate_limiter
    ├── tool_runner          the runtime's own tools; holds a tool_host for each MCP server,
    │                        which asks provider_system where its server asks for a generation
    ├── archivist            the only writer of the store
    ├── key_keeper           what is known of client keys               reads the store
    ├── assistants
    │   ├── chat             answers what names no assistant            asks the three above it
    │   └── NAME …           one for each configured assistant
    ├── titler               names chats that have begun                asks an assistant, archivist
    └── caretaker            what other processes left unfinished       tells assistants, archivist

A crash of the limiter restarts it alone: limits, ledger and stored conversations are values made here, which
outlive the actors that use them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from callboard.actors.archivist import Archivist
from callboard.actors.assistant import Assistant, Cast
from callboard.actors.caretaker import Caretaker
from callboard.actors.key_keeper import KeyKeeper
from callboard.actors.order import AssistantSpec
from callboard.actors.provider_system import ProviderSystem, Upstreams
from callboard.actors.rate_limiter import RateLimiter, Till
from callboard.actors.sampling import SamplingManager
from callboard.actors.titler import Titler
from callboard.actors.tool_runner import ToolRunner
from callboard.config import (
    Config,
    LocalProvider,
    OpenAIProvider,
    ProviderConfig,
    ScriptedProvider,
    StoreConfig,
)
from callboard.config.division import part
from callboard.config.schema import Unlimited
from callboard.domain.client_key import Allowance
from callboard.domain.model import PICOUSD_PER_USD
from callboard.domain.observation import Observation
from callboard.kernel import Child, Supervisor
from callboard.limits.ledger import Ledger, LedgerLine
from callboard.limits.limits import LimitSpec, Scope
from callboard.limits.memory import MemoryLimits
from callboard.providers.breaker import Breaker
from callboard.providers.handler import ProviderHandler, RelayHandler
from callboard.providers.registry import Registry, default_registry
from callboard.providers.routing import Health, RouteTable
from callboard.providers.settings import ProviderSettings
from callboard.store.adrift import Adrift
from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.key_register import KeyRegister
from callboard.store.records import RetentionPolicy
from callboard.store.store import Store
from callboard.store.watch import Watch
from callboard.tool_wiring import wire_tools
from callboard.tools.source import ToolSource
from callboard.transport.http import Timeouts

RESPONSES_IN_MEMORY = 100
CHAT = "chat"
"""Name of the assistant behind /v1/chat/completions: no instructions, every tool."""
TITLES = "titles"
"""Name of the assistant that finds titles for chats, where one is configured; else `CHAT` is asked."""


class Wiring(Struct, frozen=True, kw_only=True, eq=False):
    """A tree that has not started, and where its parts are in it.

    Attributes:
        tree: For `callboard.kernel.open_system`.
        assistants: By name, `CHAT` not among them.
        keys: The client keys there are.
        routes: Which models there are.
        relaying: Names of the providers that can pass OpenAI chat requests on as they are.
        handlers: Every provider, by name; its client is open while ``provider_system`` runs.
        sampling: Answers MCP servers that ask for a generation.
    """

    tree: Supervisor
    rate_limiter: Child[RateLimiter]
    provider_system: Child[ProviderSystem]
    tool_runner: Child[ToolRunner]
    archivist: Child[Archivist]
    store: Store
    watch: Watch
    keys: KeyRegister
    adrift: Adrift
    chat: Child[Assistant]
    titler: Child[Titler]
    assistants: Mapping[str, Child[Assistant]]
    routes: RouteTable
    relaying: frozenset[str]
    handlers: Mapping[str, ProviderHandler]
    sampling: SamplingManager

    def relays(self, model: str) -> bool:
        """Whether every provider that may serve ``model`` can pass requests of OpenAI's chat dialect on.

        Raises:
            UnknownModel: None may.
        """
        relaying = self.relaying
        return all(spec.provider in relaying for spec in self.routes.candidates(model))


def wire(
    config: Config,
    *,
    sources: Sequence[ToolSource],
    store: Store,
    observe: Callable[[Observation], None],
    on_line: Callable[[LedgerLine], None],
    registry: Registry | None = None,
) -> Wiring:
    """Build the tree that ``config`` describes. Nothing is opened yet.

    Args:
        config: What the operator decided.
        sources: Where the runtime's own tools come from.
        store: Open as long as the tree runs.
        observe: Told of everything that happens to requests.
        on_line: Told of every ledger line.
        registry: The kinds of provider; those that come with Callboard by default.

    Raises:
        ConfigurationError: A provider's settings do not suit it, or two tools have one name.
    """
    handlers = _handlers(config, registry or default_registry())
    routes = RouteTable(config.models, providers=handlers, catch_all=config.default_provider)
    keys, watch, adrift = KeyRegister(store, time.time), Watch(), Adrift()
    limiter = Child(name="rate_limiter", start=partial(RateLimiter, _till(config, keys, on_line)))
    providers = _provider_system(routes, handlers, observe, limiter)
    tools, sampling = wire_tools(config, sources, observe, providers)
    archivist = Child(name="archivist", start=partial(Archivist, store, watch.written))
    cast = Cast(
        providers=providers,
        routes=routes,
        tools=tools,
        archivist=archivist,
        store=store,
        hidden=HiddenRounds(),
        adrift=adrift,
        observe=observe,
        now_s=time.time,
    )
    chat, assistants = _assistants(config, cast)
    last = _last(cast, chat, assistants, config.store)
    return Wiring(
        tree=_tree((limiter, providers, tools, archivist), keys, (chat, *assistants.values()), last),
        rate_limiter=limiter,
        provider_system=providers,
        tool_runner=tools,
        archivist=archivist,
        store=store,
        watch=watch,
        keys=keys,
        adrift=adrift,
        chat=chat,
        titler=last[0],
        assistants=assistants,
        routes=routes,
        relaying=frozenset(name for name, handler in handlers.items() if _relays(handler)),
        handlers=handlers,
        sampling=sampling,
    )


def _tree(
    first: tuple[Child[Any], ...],
    keys: KeyRegister,
    assistants: tuple[Child[Assistant], ...],
    last: tuple[Child[Any], ...],
) -> Supervisor:
    keeper = Child(name="key_keeper", start=partial(KeyKeeper, keys))
    company = Supervisor(name="assistants", children=assistants)
    return Supervisor(name="callboard", children=(*first, keeper, company, *last))


def _handlers(config: Config, registry: Registry) -> dict[str, ProviderHandler]:
    return {each.name: registry.build(_settings(each)) for each in config.providers}


def _provider_system(
    routes: RouteTable,
    handlers: Mapping[str, ProviderHandler],
    observe: Callable[[Observation], None],
    limiter: Child[RateLimiter],
) -> Child[ProviderSystem]:
    upstreams = Upstreams(
        routes=routes,
        handlers=handlers,
        health=partial(_fresh_health, tuple(handlers)),
        random=random.SystemRandom().random,
        observe=observe,
    )
    return Child(name="provider_system", start=partial(ProviderSystem, upstreams, limiter))


def _last(
    cast: Cast, chat: Child[Assistant], assistants: Mapping[str, Child[Assistant]], store: StoreConfig
) -> tuple[Child[Titler], Child[Caretaker]]:
    """Those that come after the assistants, because they ask or tell them."""
    own = assistants.get(TITLES)
    titler = Child(name="titler", start=partial(Titler, own or chat, cast, own_model=own is not None))
    return titler, _caretaker(cast, {CHAT: chat, **assistants}, store)


def _caretaker(
    cast: Cast, assistants: Mapping[str, Child[Assistant]], store: StoreConfig
) -> Child[Caretaker]:
    most = store.max_responses
    if most is None and store.url == "memory:":
        most = RESPONSES_IN_MEMORY
    days = store.max_age_days
    policy = RetentionPolicy(
        max_responses=most,
        max_age_s=None if days is None else days * 86_400,
        max_bytes=store.max_bytes,
    )
    return Child(name="caretaker", start=partial(Caretaker, cast, assistants, policy))


def new_id(prefix: str) -> str:
    """An identifier with 128 random bits."""
    return prefix + os.urandom(16).hex()


def _relays(handler: ProviderHandler) -> bool:
    return isinstance(handler, RelayHandler) and handler.dialect == "openai_chat"


def _assistants(config: Config, cast: Cast) -> tuple[Child[Assistant], dict[str, Child[Assistant]]]:
    """The one that answers what names no assistant, and the configured ones."""
    chat = AssistantSpec(name=CHAT, max_rounds=config.server.max_rounds)
    specs = (
        AssistantSpec(
            name=each.name,
            model=each.model,
            instructions=each.instructions or "",
            tools=each.tools,
            temperature=each.temperature,
            max_output_tokens=each.max_output_tokens,
            max_rounds=each.max_rounds,
            directives=each.directives,
        )
        for each in config.assistants
    )
    named = {
        spec.name: Child(name=f"assistant:{spec.name}", start=partial(Assistant, spec, cast))
        for spec in specs
    }
    return Child(name=CHAT, start=partial(Assistant, chat, cast)), named


def _till(config: Config, keys: KeyRegister, on_line: Callable[[LedgerLine], None]) -> Till:
    providers = {
        each.name: LimitSpec(
            requests_per_minute=each.requests_per_minute, tokens_per_minute=each.tokens_per_minute
        )
        for each in config.providers
    }
    unlimited = LimitSpec()

    def spec_of(scope: Scope) -> LimitSpec:
        kind, name = scope
        if kind == "key":
            key = keys.key(name)
            return limits_of(Allowance() if key is None else key.allowance, config)
        return providers.get(name, unlimited) if kind == "provider" else unlimited

    return Till(
        limits=MemoryLimits(spec_of),
        ledger=Ledger(),
        clock_ns=time.time_ns,
        on_line=on_line,
        may_spend=keys.may_spend,
        longest_wait_s=config.limits.wait_seconds,
    )


def limits_of(allowance: Allowance, config: Config) -> LimitSpec:
    """What a key may use in this process: what was allowed to it, else what ``[limits]`` allows to each."""

    def count(own: int | None, default: int | Unlimited) -> int | None:
        if own is not None:
            return part(own, config.workers)
        return None if default == "unlimited" else default

    defaults, own_budget = config.limits, allowance.cost_per_day_usd
    budget = defaults.cost_per_day_usd if own_budget is None else own_budget / config.workers
    return LimitSpec(
        requests_per_minute=count(allowance.requests_per_minute, defaults.requests_per_minute),
        tokens_per_minute=count(allowance.tokens_per_minute, defaults.tokens_per_minute),
        cost_per_day_picousd=None if budget is None else int(budget * PICOUSD_PER_USD),
        parallel=count(allowance.parallel, defaults.parallel),
    )


def _fresh_health(names: Sequence[str]) -> Health:
    return Health({name: Breaker() for name in names})


def _settings(provider: ProviderConfig) -> ProviderSettings:
    match provider:
        case OpenAIProvider():
            limits = provider.timeouts
            return ProviderSettings(
                name=provider.name,
                kind=provider.kind,
                base_url=provider.base_url,
                api_key=provider.api_key,
                headers=provider.headers,
                timeouts=Timeouts(
                    connect_s=limits.connect_s,
                    first_byte_s=limits.first_byte_s,
                    answer_s=limits.answer_s,
                    idle_s=limits.idle_s,
                    total_s=limits.total_s,
                ),
                proxy=provider.proxy,
                http2=provider.http2,
                max_connections=provider.max_connections,
                allow_private=provider.allow_private,
                options={"api": provider.api},
            )
        case LocalProvider():
            options: Mapping[str, object] = {
                "slots": provider.slots,
                "threads": provider.threads,
                "context": provider.context,
            }
            return ProviderSettings(name=provider.name, kind=provider.kind, options=options)
        case ScriptedProvider():
            return ProviderSettings(
                name=provider.name, kind=provider.kind, options={"script": provider.script}
            )
