"""Which time limits a call has: an upstream that does not stream is silent until it has its whole answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from callboard.domain.generation import GenerationRequest
from callboard.domain.message import user_text
from callboard.providers.handler import ForwardedRequest, ProviderCall
from callboard.providers.openai import OpenAIHandler
from callboard.providers.openai_responses import OpenAIResponsesHandler
from callboard.providers.settings import ProviderSettings
from callboard.transport.http import Timeouts
from tests.fakes.canned_http import CannedClient, CannedResponse

pytestmark = pytest.mark.anyio

OWN = Timeouts(connect_s=1, first_byte_s=2, answer_s=30, idle_s=4, total_s=50)
STREAMED = (2, 4)
WHOLE = (30, 30)
EITHER = (30, 4)

Make = Callable[[OpenAIHandler], Awaitable[object]]


async def limits_of(kind: type[OpenAIHandler], make: Make) -> tuple[float, float]:
    """First byte and idle of the one call that is made."""
    client = CannedClient(CannedResponse(b"{}", headers=(("content-type", "application/json"),)))
    url = "https://api.example.com/v1"
    handler = kind(ProviderSettings(name="up", kind="openai", base_url=url, timeouts=OWN), client=client)
    with anyio.fail_after(5):
        async with handler.initialize_client():
            await make(handler)
    (request,) = client.requests
    limits = request.timeouts
    assert (limits.connect_s, limits.total_s) == (1, 50)
    return limits.first_byte_s, limits.idle_s


each_dialect = pytest.mark.parametrize("kind", [OpenAIHandler, OpenAIResponsesHandler])


@each_dialect
@pytest.mark.parametrize("stream, expected", [(True, STREAMED), (False, WHOLE)])
async def test_a_relayed_call(kind: type[OpenAIHandler], stream: bool, expected: tuple[float, float]) -> None:
    assert await limits_of(kind, lambda handler: handler.relay(b"{}", stream=stream)) == expected


@each_dialect
@pytest.mark.parametrize("stream, expected", [(True, STREAMED), (False, WHOLE)])
async def test_a_generation(kind: type[OpenAIHandler], stream: bool, expected: tuple[float, float]) -> None:
    async def make(handler: OpenAIHandler) -> None:
        request = GenerationRequest(model="any", messages=(user_text("Hi"),))
        call = ProviderCall(request=request, upstream_name="fake-1", stream=stream)
        async with handler.call_api(call):
            pass

    assert await limits_of(kind, make) == expected


async def test_a_forwarded_request_of_which_nobody_knows_how_it_is_answered() -> None:
    async def make(handler: OpenAIHandler) -> None:
        await handler.forward(
            ForwardedRequest(method="GET", path="/files", query="", headers=(), upload=None)
        )

    assert await limits_of(OpenAIHandler, make) == EITHER
