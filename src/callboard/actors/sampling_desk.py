"""Where the questions of one MCP server meet the answers of the `SamplingManager`."""

from __future__ import annotations

from msgspec import Struct

from callboard.actors.provider_system import ProviderSystem
from callboard.actors.sampling import REJECTED, SamplingManager, error_of
from callboard.domain.sampling import SamplingError, SamplingResult
from callboard.errors import CallboardError
from callboard.kernel import ActorRef, Child
from callboard.tools.mcp import InputRequest


class Sampling(Struct, frozen=True, kw_only=True, eq=False):
    """Who answers servers, and whose models it asks."""

    manager: SamplingManager
    providers: Child[ProviderSystem]


class SamplingDesk:
    """Answers within a call and at the cost of whoever made it; an `callboard.tools.mcp.AnswerSampling`."""

    def __init__(self, manager: SamplingManager, providers: ActorRef[ProviderSystem]) -> None:
        self._manager = manager
        self._providers = providers

    async def __call__(self, request: InputRequest) -> SamplingResult | SamplingError:
        """The answer, or what the server is told instead."""
        asker = request.origin.asker
        if asker is None:
            return SamplingError(
                code=REJECTED, message="there is nobody on whose behalf it could be answered"
            )
        try:
            return await self._manager.answer(request.server, bytes(request.params), asker, self._providers)
        except CallboardError as error:
            return error_of(error)
