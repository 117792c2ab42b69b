"""The sampling manager: configuration in, handlers that choose without changing anything out."""

from __future__ import annotations

import anyio
import pytest

from callboard.actors.sampling import RequestConfig, SamplingConfig, SamplingManager
from callboard.domain.model import ModelSpec, ModelTraits
from callboard.domain.preferences import ModelPreferences
from callboard.domain.tools import ToolDefinition
from callboard.errors import UnknownModel

FAST = ModelSpec(name="fast", provider="p", upstream_name="fast")
DEEP = ModelSpec(name="deep", provider="p", upstream_name="deep", traits=ModelTraits(reasoning=True))
TOOL = ToolDefinition(name="look_up")


def test_a_configuration_holds_defaults() -> None:
    config = SamplingConfig()
    assert config.client_configs == ()
    assert config.default_model_preferences is None
    assert config.request_config == RequestConfig()


def test_a_handler_has_the_configured_models_tools_and_preferences() -> None:
    wanted = ModelPreferences(intelligence=1.0)
    config = SamplingConfig(
        client_configs=(FAST, DEEP), tools_config=(TOOL,), default_model_preferences=wanted
    )
    handler = SamplingManager(config).create_handler()
    assert handler.config is config
    assert handler.tools == (TOOL,)
    assert handler.model_for(None) is DEEP


def test_configuring_a_handler_sets_its_tools_and_leaves_the_one_given() -> None:
    manager = SamplingManager(SamplingConfig())
    plain = manager.create_handler()
    assert manager.configure_handler(plain, (TOOL,)).tools == (TOOL,)
    assert plain.tools == ()


def test_the_requests_own_preferences_go_before_the_default_ones() -> None:
    config = SamplingConfig(
        client_configs=(FAST, DEEP), default_model_preferences=ModelPreferences(intelligence=1.0)
    )
    handler = SamplingManager(config).create_handler()
    assert handler.model_for(ModelPreferences(hints=("fast",))) is FAST


def test_the_service_config_is_the_model_where_no_others_are_named() -> None:
    assert SamplingConfig(service_config=FAST).models == (FAST,)
    assert SamplingConfig(service_config=FAST, client_configs=(DEEP,)).models == (DEEP,)


def test_request_types_have_preferences() -> None:
    manager = SamplingManager(SamplingConfig())
    assert manager.get_model_preferences_for_request("reasoning").intelligence == 0.9
    assert manager.get_model_preferences_for_request("chat").speed == 0.6


def test_without_models_the_error_says_so() -> None:
    with pytest.raises(UnknownModel, match="no model is configured for sampling"):
        SamplingManager(SamplingConfig()).create_handler().model_for(None)


@pytest.mark.anyio
async def test_fifty_requests_at_once_each_get_their_own_model() -> None:
    models = tuple(ModelSpec(name=f"model-{n:02}", provider="p", upstream_name="u") for n in range(50))
    handler = SamplingManager(SamplingConfig(client_configs=models)).create_handler()
    chosen: dict[int, str] = {}

    async def request(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        chosen[number] = handler.model_for(ModelPreferences(hints=(f"model-{number:02}",))).name

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(request, number)
    assert chosen == {number: f"model-{number:02}" for number in range(50)}
