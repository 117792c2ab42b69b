"""Which kinds of provider there are: a value that maps a kind's name to what makes its handler.

There is no registry of the process: whoever assembles a system builds one, with `default_registry`, and adds
to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from callboard.errors import ConfigurationError
from callboard.providers.handler import ProviderHandler
from callboard.providers.openai import OpenAIHandler, OpenAIOptions
from callboard.providers.openai_responses import OpenAIResponsesHandler
from callboard.providers.scripted import ScriptedHandler
from callboard.providers.settings import ProviderSettings, options_as

HandlerFactory: TypeAlias = Callable[[ProviderSettings], ProviderHandler]

METHODS = tuple(name for name, member in vars(ProviderHandler).items() if callable(member) and name[0] != "_")


class Registry:
    """Handler factories by kind; a handler class is its own factory."""

    def __init__(self) -> None:
        self._factories: dict[str, HandlerFactory] = {}

    def register(self, kind: str, factory: HandlerFactory, *, override: bool = False) -> None:
        """Add a kind.

        Args:
            kind: Its name in the configuration.
            factory: A handler class, or a function that makes a handler.
            override: Whether an existing kind may be replaced.

        Raises:
            ConfigurationError: The kind exists already, or the class lacks methods.
        """
        if kind in self._factories and not override:
            raise ConfigurationError(f"provider kind {kind!r} is registered already")
        if isinstance(factory, type):
            _check_complete(kind, factory)
        self._factories[kind] = factory

    def get(self, kind: str) -> HandlerFactory:
        """The factory of a kind.

        Raises:
            ConfigurationError: No such kind; the message lists those there are.
        """
        try:
            return self._factories[kind]
        except KeyError:
            known = ", ".join(self.kinds())
            raise ConfigurationError(f"unknown provider kind {kind!r}; there are: {known}") from None

    def kinds(self) -> tuple[str, ...]:
        """The registered kinds, sorted."""
        return tuple(sorted(self._factories))

    def build(self, settings: ProviderSettings) -> ProviderHandler:
        """A new handler for a configured provider; nothing is opened yet.

        Raises:
            ConfigurationError: No such kind, or the settings do not suit it.
        """
        handler = self.get(settings.kind)(settings)
        _check_complete(settings.kind, type(handler))
        return handler


def default_registry() -> Registry:
    """A new registry of the kinds that come with Callboard."""
    registry = Registry()
    registry.register("local", _local)
    registry.register("openai", _openai)
    registry.register("scripted", ScriptedHandler)
    return registry


def _openai(settings: ProviderSettings) -> ProviderHandler:
    responses = options_as(OpenAIOptions, settings).api == "responses"
    return OpenAIResponsesHandler(settings) if responses else OpenAIHandler(settings)


def _local(settings: ProviderSettings) -> ProviderHandler:
    from callboard.providers.local import LocalHandler  # noqa: PLC0415 - an optional extra, heavy to import

    return LocalHandler(settings)


def _check_complete(kind: str, handler: type) -> None:
    """Refuse a class that lacks methods; the stubs of the protocol itself, inherited, do not count."""
    stubs = vars(ProviderHandler)
    missing = [name for name in METHODS if getattr(handler, name, stubs[name]) is stubs[name]]
    if missing:
        raise ConfigurationError(f"provider kind {kind!r}: {handler.__qualname__} lacks {', '.join(missing)}")
