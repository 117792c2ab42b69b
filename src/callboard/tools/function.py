"""Python functions as tools.

A synchronous function runs in a worker thread, a quick one too: nothing tells us beforehand that it is quick,
and one that is not would stop every other turn of the process, while the hop is nothing beside the model call
that led to it. `callboard.tools.threads` bounds how many there are. Asynchronous functions run in the
caller's task.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, ParamSpec, TypeVar, overload

from anyio import to_thread
from msgspec import UNSET, Raw
from msgspec.structs import replace

from callboard.domain.observation import ToolGivenUp, ToolRaised
from callboard.domain.tools import ToolDefinition, ToolOutcome, ToolReport, failed
from callboard.errors import ConfigurationError, InvalidArguments, ToolError
from callboard.tools import arguments as checked
from callboard.tools import signature
from callboard.tools.context import NOWHERE, ToolContext
from callboard.tools.outcome import outcome_of
from callboard.tools.source import ToolTraits, unknown_tool
from callboard.tools.threads import Threads

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # the names every dialect allows


class FunctionTool(Generic[P, R_co]):
    """A function and what the model is told of it; calling it calls the function.

    Attributes:
        definition: Name, description and schema for the model.
        traits: How the caller should run it.
    """

    __name__: str  # copied from the function, as are its docstring and module

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        traits: ToolTraits = ToolTraits(),  # noqa: B008 - a frozen value
    ) -> None:
        self._signature = signature.read(function)
        self._function = function
        chosen = name if name is not None else getattr(function, "__name__", "")
        if not _NAME.fullmatch(chosen):
            raise ConfigurationError(f"tool name {chosen!r} must be 1 to 64 letters, digits, '_' or '-'")
        self.traits = replace(traits, stoppable=inspect.iscoroutinefunction(function))
        self.definition = ToolDefinition(
            name=chosen,
            description=self._signature.description if description is None else description,
            input_schema=self._signature.schema,
        )
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The function itself, called as it was written."""
        return self._function(*args, **kwargs)

    async def run(
        self, arguments: Raw, context: ToolContext = NOWHERE, threads: Threads | None = None
    ) -> ToolOutcome:
        """Validate ``arguments``, call the function with them, and put its result in words.

        Text and blocks stay as they are, nothing becomes `callboard.tools.outcome.NO_OUTPUT`, other values
        become JSON. The text of a `ToolError` is told to the model, and so to whoever reads the conversation.
        Any other exception is an accident: the model is told that the tool failed, and the class of the
        exception; the observer has the exception itself.

        Cancelling cancels an asynchronous function. A synchronous one cannot be stopped: it is abandoned,
        runs on in its thread until it returns, and its result is dropped.

        Args:
            arguments: The JSON object that the model wrote.
            context: Of the call; handed to a function that has a parameter for it.
            threads: Where a synchronous function runs; in any thread by default.

        Raises:
            InvalidArguments: The arguments do not fit; the function was not called.
        """
        name, read = self.definition.name, self._signature
        try:
            given = checked.decode(name, arguments, read.model, self.definition.input_schema)
            values = {each: getattr(given, each) for each in given.__struct_fields__}
            values = {each: value for each, value in values.items() if value is not UNSET}
            if read.context is not None:
                values[read.context] = context
            return outcome_of(await self._invoke(values, context, threads))
        except InvalidArguments:
            raise
        except ToolError as error:
            return failed(str(error))
        except Exception as error:  # noqa: BLE001 - the edge to code that is not ours
            context.observe(ToolRaised(request_id=context.request_id, name=name, error=error))
            return failed(f"Tool {name!r} failed unexpectedly ({type(error).__name__}).")

    async def _invoke(
        self, values: Mapping[str, object], context: ToolContext, threads: Threads | None
    ) -> object:
        function: Callable[..., object] = self._function
        call = functools.partial(function, **values)
        if inspect.iscoroutinefunction(function):
            result = call()
        elif threads is None:
            result = await to_thread.run_sync(call, abandon_on_cancel=True)
        else:
            lost = ToolGivenUp(request_id=context.request_id, name=self.definition.name)
            result = await threads.run(call, on_given_up=lambda: context.observe(lost))
        return await result if inspect.isawaitable(result) else result


class FunctionTools:
    """A `callboard.tools.source.ToolSource` of functions, in the order given.

    Args:
        tools: Their names must differ.

    Raises:
        ConfigurationError: Two tools have the same name.
    """

    def __init__(self, tools: Iterable[FunctionTool[..., object]]) -> None:
        self._tools: dict[str, FunctionTool[..., object]] = {}
        self._threads = Threads()
        for each in tools:
            if each.definition.name in self._tools:
                raise ConfigurationError(f"two tools are named {each.definition.name!r}; rename one")
            self._tools[each.definition.name] = each

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        """The tools, in the order given."""
        return tuple(each.definition for each in self._tools.values())

    def traits(self, name: str) -> ToolTraits:
        """How the tool ``name`` wants to be called."""
        return self._tools[name].traits if name in self._tools else ToolTraits()

    async def call(self, name: str, arguments: Raw, context: ToolContext = NOWHERE) -> ToolOutcome:
        """Run the tool ``name``; see `FunctionTool.run` for results, failures and cancellation.

        Raises:
            InvalidArguments: The arguments do not fit; the function was not called.
        """
        if name not in self._tools:
            return unknown_tool(name, self._tools)
        return await self._tools[name].run(arguments, context, self._threads)

    async def reports(self) -> tuple[ToolReport, ...]:
        """The tools, in the order given."""
        return tuple(
            ToolReport(name=name, source="function", description=each.definition.description)
            for name, each in self._tools.items()
        )


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = 60.0,
    idempotent: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = 60.0,
    idempotent: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a function a tool: ``@tool``, or ``@tool(name=..., idempotent=True)``.

    Args:
        function: Its type hints become the schema, its docstring the description.
        name: What the model calls it; the function's own name by default.
        description: Instead of the docstring.
        timeout_s: Seconds after which a call is given up.
        idempotent: Running it twice does no harm.

    Raises:
        ConfigurationError: The signature cannot be told to a model; the message says which parameter and why.
    """
    traits = ToolTraits(idempotent=idempotent, timeout_s=timeout_s)
    if function is not None:
        return FunctionTool(function, name=name, description=description, traits=traits)

    def decorate(decorated: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(decorated, name=name, description=description, traits=traits)

    return decorate
