"""LangChain's standard tests of chat models, for its OpenAI client in both dialects against a server of ours.

Run by `test_langchain.py` in a Python and a pytest of their own; the server's address is in the environment.
What they do with images and documents is left out: they fetch these from the web.
"""

# mypy: disable-error-code="import-not-found,misc,unused-ignore"

import os
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class OurServer(ChatModelIntegrationTests):
    """What both dialects have."""

    uses_responses = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """Their client, unmodified."""
        chosen: type[BaseChatModel] = ChatOpenAI
        return chosen

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Where our server is."""
        return {
            "model": "demo-model",
            "base_url": os.environ["CALLBOARD_URL"],
            "api_key": "unused",
            "max_retries": 0,
            "stream_usage": True,
            "use_responses_api": self.uses_responses,
        }

    @property
    def supports_json_mode(self) -> bool:
        """It is passed on."""
        return True

    @property
    def supports_model_override(self) -> bool:
        """We serve several."""
        return True

    @property
    def model_override_value(self) -> str:
        """Another one."""
        return "other-model"


class TestChatCompletions(OurServer):
    """``/v1/chat/completions``."""


class TestResponses(OurServer):
    """``/v1/responses``."""

    uses_responses = True
