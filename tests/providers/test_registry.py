"""Kinds of providers."""

import pytest

from callboard.errors import ConfigurationError
from callboard.providers.handler import ProviderHandler
from callboard.providers.openai import OpenAIHandler
from callboard.providers.openai_conversions import OpenAIConversions
from callboard.providers.openai_responses import OpenAIResponsesHandler
from callboard.providers.registry import METHODS, Registry, default_registry
from callboard.providers.scripted import ScriptedHandler
from callboard.providers.settings import ProviderSettings


class Half(OpenAIConversions):
    """Converts, and cannot call."""


class Heir(ProviderHandler):
    """Inherits the protocol's stubs, which do nothing."""


def settings(kind: str) -> ProviderSettings:
    return ProviderSettings(name="mine", kind=kind)


def test_the_protocol_has_the_eight_methods() -> None:
    assert METHODS == (
        "initialize_client",
        "prepare_system",
        "convert_to_provider_messages",
        "prepare_tools",
        "call_api",
        "convert_from_provider_response",
        "parse_tool_use",
        "make_tool_result",
    )


def test_a_registered_kind_is_built_from_its_settings() -> None:
    registry = Registry()
    registry.register("toy", ScriptedHandler)
    assert registry.get("toy") is ScriptedHandler
    assert isinstance(registry.build(settings("toy")), ScriptedHandler)


def test_an_incomplete_class_is_refused_when_registered_naming_what_it_lacks() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Registry().register("half", Half)  # type: ignore[arg-type]  # what the check is for
    assert str(refused.value) == "provider kind 'half': Half lacks initialize_client, call_api"


def test_the_protocols_own_stubs_do_not_count_as_methods() -> None:
    with pytest.raises(ConfigurationError, match="Heir lacks initialize_client, prepare_system, "):
        Registry().register("heir", Heir)  # type: ignore[arg-type]  # what the check is for


def test_what_a_function_makes_is_checked_when_it_is_built() -> None:
    registry = Registry()
    registry.register("half", lambda _: Half())  # type: ignore[arg-type, return-value]  # what the check is for
    with pytest.raises(ConfigurationError, match="Half lacks initialize_client, call_api"):
        registry.build(settings("half"))


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    registry = Registry()
    registry.register("toy", ScriptedHandler)
    registry.register("bear", ScriptedHandler)
    with pytest.raises(ConfigurationError, match="unknown provider kind 'opnai'; there are: bear, toy"):
        registry.build(settings("opnai"))


def test_a_kind_is_replaced_only_where_that_is_said() -> None:
    registry = Registry()
    registry.register("toy", ScriptedHandler)
    with pytest.raises(ConfigurationError, match="'toy' is registered already"):
        registry.register("toy", OpenAIHandler)
    assert registry.get("toy") is ScriptedHandler
    registry.register("toy", OpenAIHandler, override=True)
    assert registry.get("toy") is OpenAIHandler


def test_registries_share_nothing() -> None:
    first = default_registry()
    first.register("toy", ScriptedHandler)
    assert "toy" not in default_registry().kinds()
    assert {"local", "openai", "scripted"} <= set(default_registry().kinds())


@pytest.mark.parametrize(
    "options, kind",
    [({}, OpenAIHandler), ({"api": "chat"}, OpenAIHandler), ({"api": "responses"}, OpenAIResponsesHandler)],
)
def test_an_openai_provider_is_spoken_to_in_the_dialect_that_is_configured(
    options: dict[str, object], kind: type
) -> None:
    configured = ProviderSettings(name="mine", kind="openai", options=options)
    assert type(default_registry().build(configured)) is kind


def test_a_dialect_that_does_not_exist_is_refused() -> None:
    configured = ProviderSettings(name="mine", kind="openai", options={"api": "telepathy"})
    with pytest.raises(ConfigurationError, match="'telepathy'"):
        default_registry().build(configured)
