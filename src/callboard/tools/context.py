"""What a tool may know of the call it answers, and how it says how far it is."""

from __future__ import annotations

from collections.abc import Callable

from anyio.lowlevel import checkpoint
from msgspec import Struct

from callboard.domain.observation import Observation, ToolProgressed
from callboard.domain.sampling import Originator


def _unheard(_observation: Observation) -> None:
    """For calls that nobody watches."""


class CallOrigin(Struct, frozen=True, kw_only=True):
    """Where a call comes from; empty where it comes from no turn.

    Attributes:
        tenant: Whose data the tool may see, where it keeps any.
        asker: On whose behalf a source may ask for generations while the call runs; None where it may not.
    """

    request_id: str = ""
    response_id: str = ""
    tenant: str = ""
    asker: Originator | None = None


class ToolContext:
    """One call, as the tool that runs it sees it.

    A function that wants it has a parameter of this type; the model is not told of that one::

        @callboard.tool
        async def build(target: str, context: ToolContext) -> str:
            await context.progress(0.5, "compiling")

    Args:
        call_id: The call's id, as the model gave it; the same again where a call is run again.
        origin: Where it comes from.
        observe: Told of progress and of accidents.
    """

    def __init__(
        self,
        *,
        call_id: str = "",
        name: str = "",
        origin: CallOrigin = CallOrigin(),  # noqa: B008 - a frozen value
        observe: Callable[[Observation], None] = _unheard,
    ) -> None:
        self.call_id = call_id
        self.name = name
        self.request_id = origin.request_id
        self.response_id = origin.response_id
        self.tenant = origin.tenant
        self.observe = observe

    async def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Say how far the call is; for those who watch, not for the model.

        A synchronous function, which runs in a thread, says ``anyio.from_thread.run(context.progress, 0.5)``.

        Args:
            fraction: From 0 to 1; None where nobody knows.
            message: In words.
        """
        self.observe(
            ToolProgressed(request_id=self.request_id, name=self.name, fraction=fraction, message=message)
        )
        await checkpoint()


NOWHERE = ToolContext()
"""A call that comes from nowhere and that nobody watches."""
