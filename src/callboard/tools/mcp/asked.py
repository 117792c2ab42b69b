"""What a server asks us for: generations, its user's input, its roots.

Both ways lead here: requests pushed over the connection (until 2025-11-25), and inputs that a call needs
before it can go on (2026-07-28). A refusal is told to the server in our words, nothing of ours beyond that,
and to the operator.

Source: Model Context Protocol 2025-11-25, client/sampling, client/elicitation and client/roots;
2026-07-28 embeds the same in ``input_required``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import mcp_types
import msgspec
from anyio import CancelScope
from mcp.client import ClientRequestContext
from msgspec import Raw
from pydantic import BaseModel, ValidationError

from callboard.domain.observation import ToolSourceRefused
from callboard.domain.sampling import SamplingError
from callboard.errors import Refusal
from callboard.tools.context import CallOrigin
from callboard.tools.mcp.protocol import AnswerSampling, Desk, Elicit, InputRequest, ServerSettings

SAMPLING, ELICITATION, ROOTS = "sampling/createMessage", "elicitation/create", "roots/list"
QUIET_S = 1.0
"""After a refusal was told; those that come meanwhile are counted."""

MAX_REASON_CHARS = 500

R = TypeVar("R", bound=BaseModel)


class _Call:
    """A call that is under way, and the answers that are made for it."""

    def __init__(self, origin: CallOrigin) -> None:
        self.origin = origin
        self.answers: set[CancelScope] = set()


_CALL: ContextVar[_Call] = ContextVar("callboard_mcp_call")


class Asked:
    """Answers one server's requests.

    Args:
        server: Who asks; of its requests as many are answered at once as there may be calls to it.
        desk: Who has the answers.
    """

    def __init__(self, server: ServerSettings, desk: Desk) -> None:
        self._server = server
        self._desk = desk
        self._running: list[_Call] = []
        self._answering = 0
        self._quiet_until = 0.0
        self._untold = 0

    @property
    def provided(self) -> frozenset[str]:
        """What the server is told that it may ask for."""
        has = {
            SAMPLING: self._desk.answer_sampling is not None,
            ELICITATION: self._desk.elicit is not None,
            ROOTS: bool(self._server.roots),
        }
        return frozenset(method for method in has if has[method])

    @contextmanager
    def during(self, origin: CallOrigin) -> Iterator[None]:
        """While this block runs, the server may ask for things on behalf of ``origin``; not any longer."""
        call = _Call(origin)
        self._running.append(call)
        token = _CALL.set(call)
        try:
            yield
        finally:
            _CALL.reset(token)
            self._running.remove(call)
            for scope in call.answers:
                scope.cancel()

    def hear(self, method: str) -> None:
        """Note that the server asks for ``method``; what is not provided, the SDK refuses."""
        if method in {SAMPLING, ELICITATION, ROOTS} - self.provided:
            self._tell(method, "it is not allowed for this server")

    async def list_roots(self, context: ClientRequestContext) -> mcp_types.ListRootsResult:
        """Its roots."""
        roots = [mcp_types.Root.model_validate({"uri": uri}) for uri in self._server.roots]
        return mcp_types.ListRootsResult(roots=roots)

    async def sample(
        self, answer: AnswerSampling, params: mcp_types.CreateMessageRequestParams
    ) -> mcp_types.CreateMessageResult | mcp_types.CreateMessageResultWithTools | mcp_types.ErrorData:
        """A generation."""

        async def make(request: InputRequest) -> Raw | SamplingError:
            answered = await answer(request)
            return answered if isinstance(answered, SamplingError) else Raw(msgspec.json.encode(answered))

        if params.tools:
            return await self._answer(SAMPLING, params, make, mcp_types.CreateMessageResultWithTools)
        return await self._answer(SAMPLING, params, make, mcp_types.CreateMessageResult)

    async def elicit(
        self, answer: Elicit, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        """What the user says."""
        return await self._answer(ELICITATION, params, answer, mcp_types.ElicitResult)

    async def _answer(
        self,
        method: str,
        params: BaseModel,
        make: Callable[[InputRequest], Awaitable[Raw | SamplingError]],
        shape: type[R],
    ) -> R | mcp_types.ErrorData:
        """What ``make`` makes of a request with these parameters, as a ``shape``."""
        call = self._call()
        if isinstance(call, str):
            return self._refused(method, call)
        data = params.model_dump_json(by_alias=True, exclude_none=True).encode()
        request = InputRequest(server=self._server.name, params=Raw(data), origin=call.origin)
        made: Raw | SamplingError | None = None
        self._answering += 1
        try:
            with CancelScope() as scope:
                call.answers.add(scope)
                made = await make(request)
            if made is None:
                return self._refused(method, "the call that it belonged to has ended")
            if isinstance(made, SamplingError):
                return self._refused(method, made.message, made.code)
            return shape.model_validate_json(bytes(made))
        except Refusal as refusal:
            return self._refused(method, str(refusal))
        except ValidationError:
            return self._refused(method, "no answer could be made", mcp_types.INTERNAL_ERROR)
        finally:
            call.answers.discard(scope)
            self._answering -= 1

    def _call(self) -> _Call | str:
        """The call that a request belongs to, or why it cannot be answered."""
        if self._answering >= self._server.parallel:
            return "too many requests at once"
        own = _CALL.get(None)
        if own is not None:
            return own if own in self._running else "the call that it belonged to has ended"
        if not self._running:
            return "no call is pending that it could belong to"
        # The older wires do not say which call it is; it does not matter where all of them are one caller's.
        askers = [call.origin.asker for call in self._running]
        if len({None if asker is None else asker.principal.key_id for asker in askers}) > 1:
            return "calls of several callers are pending, and it does not say whose it is"
        return self._running[-1]

    def _refused(self, method: str, why: str, code: int = mcp_types.INVALID_REQUEST) -> mcp_types.ErrorData:
        self._tell(method, why)
        return mcp_types.ErrorData(code=code, message=why)

    def _tell(self, method: str, why: str) -> None:
        now_s = time.monotonic()
        if now_s < self._quiet_until:
            self._untold += 1
            return
        reason = why[:MAX_REASON_CHARS]
        refusal = ToolSourceRefused(
            source=self._server.name, request=method, reason=reason, untold=self._untold
        )
        self._quiet_until, self._untold = now_s + QUIET_S, 0
        self._desk.refused(refusal)
