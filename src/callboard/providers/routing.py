"""From a model's name to the providers that may serve it, healthiest first; pure, time is an argument.

A name is looked up in this order:

1. a configured model of exactly this name: its own provider, then its fallbacks;
2. ``provider:model`` or ``provider/model``, where ``model`` is one of that provider's, by either of its
   names: that provider alone, because the client asked for it;
3. the catch-all provider, where the operator named one: the name is passed on as it is, without a
   ``catch_all:`` in front.

Before that, `RouteTable.addressed` puts a model's name in the place of ``auto``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.generation import GenerationRequest
from callboard.domain.model import ModelSpec
from callboard.domain.preferences import AUTO, ModelPreferences, able, choose, stated
from callboard.domain.principal import Principal
from callboard.errors import ConfigurationError, UnknownModel, UpstreamOverloaded
from callboard.providers.breaker import Admission, Breaker, Outcome

SEPARATORS = ":/"


class RouteTable:
    """Every model the operator configured, and where each leads. Immutable.

    Raises:
        ConfigurationError: Two models share a name, a model names a provider or a fallback that does not
            exist.
    """

    def __init__(
        self, models: Iterable[ModelSpec], *, providers: Collection[str], catch_all: str | None = None
    ) -> None:
        self._models: dict[str, ModelSpec] = {}
        self._providers = frozenset(providers)
        self._catch_all = catch_all
        for spec in models:
            if spec.name in self._models:
                raise ConfigurationError(f"model {spec.name!r} is configured twice")
            self._models[spec.name] = spec
        self._check()
        self._chains = {
            spec.name: tuple(self._models[each] for each in dict.fromkeys((spec.name, *spec.fallbacks)))
            for spec in self._models.values()
        }

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """The configured models, in the operator's order."""
        return tuple(self._models.values())

    def candidates(self, name: str) -> tuple[ModelSpec, ...]:
        """The models to try for ``name``, in order; never empty.

        A model the operator did not describe, reached through the catch-all provider, has default traits and
        no price.

        Raises:
            UnknownModel: Nothing leads anywhere; the message lists similar names.
        """
        chain = self._chains.get(name)
        if chain is not None:
            return chain
        provider, model = _split(name, self._providers)
        if provider is not None:
            for spec in self._models.values():
                if spec.provider == provider and model in (spec.name, spec.upstream_name):
                    return (spec,)
        if self._catch_all is not None and provider in (None, self._catch_all):
            return (ModelSpec(name=name, provider=self._catch_all, upstream_name=model),)
        raise UnknownModel(self._unknown(name, provider))

    def addressed(
        self, request: GenerationRequest, principal: Principal, preferences: ModelPreferences | None = None
    ) -> GenerationRequest:
        """``request`` with the name of a model where it asks for `AUTO`; any other as it is.

        Args:
            request: May state preferences of its own, which are taken out.
            principal: Only models that it may ask for are chosen among.
            preferences: Go before those of the request.

        Raises:
            UnknownModel: There is no model to choose.
            InvalidRequest: The request's preferences cannot be read.
        """
        if request.model != AUTO or not self._models or AUTO in self._models:
            return request
        own, request = stated(request)
        model = self.chosen(request, principal, own if preferences is None else preferences)
        if model is None:
            raise UnknownModel(f"model {AUTO!r} is not configured")
        return replace(request, model=model)

    def chosen(
        self, request: GenerationRequest, principal: Principal, preferences: ModelPreferences | None
    ) -> str | None:
        """The name of the model that suits ``request`` best; None where ``principal`` may ask for none."""
        models = [spec for spec in self._models.values() if principal.may_ask(spec.name)]
        spec = choose(able(models, request), preferences)
        return None if spec is None else spec.name

    def _check(self) -> None:
        if self._catch_all is not None and self._catch_all not in self._providers:
            raise ConfigurationError(f"the catch-all provider {self._catch_all!r} is not configured")
        for spec in self._models.values():
            if spec.provider not in self._providers:
                raise ConfigurationError(f"model {spec.name!r}: provider {spec.provider!r} is not configured")
            for fallback in spec.fallbacks:
                if fallback not in self._models:
                    raise ConfigurationError(f"model {spec.name!r}: fallback {fallback!r} is not configured")

    def _unknown(self, name: str, provider: str | None) -> str:
        message = f"model {name!r} is not configured"
        prefix, found, _ = name.partition(":")
        if found and provider is None:
            message += f"; provider {prefix!r} not found"
        near = get_close_matches(name, self._models, n=3, cutoff=0.5)
        if near:
            message += "; did you mean " + " or ".join(repr(each) for each in near) + "?"
        return message


def _split(name: str, providers: Collection[str]) -> tuple[str | None, str]:
    """The provider that ``name`` begins with, if any, and the rest of the name."""
    for separator in SEPARATORS:
        prefix, found, rest = name.partition(separator)
        if found and rest and prefix in providers:
            return prefix, rest
    return None, name


class Choice(Struct, frozen=True, kw_only=True):
    """Where the next attempt goes, with the breaker's leave; give it back to `Health.record`."""

    spec: ModelSpec
    admission: Admission


class Health:
    """The breakers of all providers. Owned by one actor."""

    def __init__(self, breakers: Mapping[str, Breaker]) -> None:
        self._breakers = dict(breakers)

    def choose(
        self, candidates: Iterable[ModelSpec], *, now_s: float, tried: Collection[str] = ()
    ) -> Choice | None:
        """The first candidate whose provider may be called; None where none is left.

        Args:
            candidates: As `RouteTable.candidates` gives them.
            now_s: The owner's clock.
            tried: Names of models that this request has tried already.
        """
        for spec in candidates:
            if spec.name in tried:
                continue
            admission = self._breakers[spec.provider].admit(now_s)
            if admission is not None:
                return Choice(spec=spec, admission=admission)
        return None

    def record(self, choice: Choice, outcome: Outcome, *, now_s: float) -> None:
        """Take what a chosen call came to into account; once per choice."""
        self._breakers[choice.spec.provider].record(choice.admission, outcome, now_s)

    def resting(self, candidates: Iterable[ModelSpec], *, now_s: float) -> UpstreamOverloaded:
        """The refusal for a call that no candidate's provider may be asked for now."""
        specs = tuple(candidates)
        waits_s = [self._breakers[spec.provider].retry_after_s(now_s) for spec in specs]
        return UpstreamOverloaded(
            f"every provider of model {specs[0].name!r} is failing; try again shortly",
            provider=specs[0].provider,
            retry_after_s=max(min(waits_s), 1.0),
        )

    def snapshot(self) -> Mapping[str, str]:
        """The state of each provider's breaker, for the monitor."""
        return {name: breaker.state for name, breaker in self._breakers.items()}
