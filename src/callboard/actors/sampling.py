"""Sampling: a request from an MCP server becomes a choice among our models.

The protocol's side of it, answering ``sampling/createMessage``, comes with the MCP tool hosts; what is here
needs no session: the configuration, and the choice of a model for a request. Nothing is changed by choosing,
so concurrent requests with different preferences each get their own model.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.model import ModelSpec
from callboard.domain.preferences import ModelPreferences, choose, preferences_for
from callboard.domain.tools import ToolDefinition
from callboard.errors import UnknownModel


class RequestConfig(Struct, frozen=True, kw_only=True):
    """How a sampled generation is asked for, where the server leaves it open."""

    max_output_tokens: int = 4096
    temperature: float | None = None


class SamplingConfig(Struct, frozen=True, kw_only=True):
    """What sampling starts from.

    Attributes:
        client_configs: The models a server may be given, in order of preference.
        default_model_preferences: Apply where a request states none.
    """

    request_config: RequestConfig = RequestConfig()
    tools_config: tuple[ToolDefinition, ...] = ()
    client_configs: tuple[ModelSpec, ...] = ()
    default_model_preferences: ModelPreferences | None = None


class SamplingHandler(Struct, frozen=True, kw_only=True):
    """Chooses for one server's requests."""

    config: SamplingConfig
    tools: tuple[ToolDefinition, ...] = ()

    def model_for(self, preferences: ModelPreferences | None) -> ModelSpec:
        """The model for a request; its own preferences go before the default ones.

        Raises:
            UnknownModel: No model is configured for sampling.
        """
        wanted = preferences or self.config.default_model_preferences
        model = choose(self.config.client_configs, wanted)
        if model is None:
            raise UnknownModel("no model is configured for sampling")
        return model


class SamplingManager:
    """Makes handlers of one configuration."""

    def __init__(self, config: SamplingConfig) -> None:
        self._config = config

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
