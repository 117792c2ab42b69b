"""Python functions as tools.

A synchronous function runs in a worker thread, a quick one too: nothing tells us beforehand that it is quick,
and one that is not would stop every other turn of the process, while the hop is nothing beside the model call
that led to it. Asynchronous functions run in the caller's task.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Generic, ParamSpec, TypeVar, overload

import msgspec
from anyio import to_thread
from msgspec import UNSET, Raw

from callboard.domain.block import DocumentBlock, ImageBlock, OpaqueBlock, ResultContent, TextBlock
from callboard.domain.tools import ToolDefinition, ToolOutcome, failed
from callboard.errors import ConfigurationError, ToolError
from callboard.tools import arguments as checked
from callboard.tools import signature
from callboard.tools.source import ToolTraits, unknown_tool

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

NO_OUTPUT = "Tool returned no output."
"""What the model reads where a tool returned nothing; providers refuse empty text."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # the names every dialect allows
_MAX_ERROR_CHARS = 300

OnFailure = Callable[[str, Exception], None]


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
        self.traits = traits
        self.definition = ToolDefinition(
            name=chosen,
            description=self._signature.description if description is None else description,
            input_schema=self._signature.schema,
        )
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The function itself, called as it was written."""
        return self._function(*args, **kwargs)

    async def run(self, arguments: Raw, on_failure: OnFailure | None = None) -> ToolOutcome:
        """Validate ``arguments``, call the function with them, and put its result in words.

        Text and blocks stay as they are, nothing becomes `NO_OUTPUT`, other values become JSON. What the
        function raises becomes an error outcome that **the model, and whoever reads the conversation, sees**:
        the text of a `ToolError`; of any other exception its class and the first line of its message, at most
        300 characters and never a traceback. A function whose messages may hold secrets should catch them.

        Cancelling cancels an asynchronous function. A synchronous one cannot be stopped: it is abandoned,
        runs on in its thread until it returns, and its result is dropped.

        Args:
            arguments: The JSON object that the model wrote.
            on_failure: Told the tool's name and the exception itself, for the log; not told of a `ToolError`.

        Raises:
            InvalidArguments: The arguments do not fit; the function was not called.
        """
        given = checked.decode(
            self.definition.name, arguments, self._signature.model, self.definition.input_schema
        )
        try:
            return outcome_of(await self._invoke(given))
        except ToolError as error:
            return failed(str(error))
        except Exception as error:  # noqa: BLE001 - the edge to code that is not ours
            if on_failure is not None:
                on_failure(self.definition.name, error)
            return failed(f"Tool {self.definition.name!r} failed with {_brief(error)}")

    async def _invoke(self, given: msgspec.Struct) -> object:
        values = {name: getattr(given, name) for name in given.__struct_fields__}
        function: Callable[..., object] = self._function
        call = functools.partial(
            function, **{name: value for name, value in values.items() if value is not UNSET}
        )
        if inspect.iscoroutinefunction(function):
            result = call()
        else:
            result = await to_thread.run_sync(call, abandon_on_cancel=True)
        return await result if inspect.isawaitable(result) else result


class FunctionTools:
    """A `callboard.tools.source.ToolSource` of functions, in the order given.

    Args:
        tools: Their names must differ.
        on_failure: Told of every exception a function raised by accident; see `FunctionTool.run`.

    Raises:
        ConfigurationError: Two tools have the same name.
    """

    def __init__(
        self, tools: Iterable[FunctionTool[..., object]], *, on_failure: OnFailure | None = None
    ) -> None:
        self._tools: dict[str, FunctionTool[..., object]] = {}
        self._on_failure = on_failure
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

    async def call(self, name: str, arguments: Raw) -> ToolOutcome:
        """Run the tool ``name``; see `FunctionTool.run` for results, failures and cancellation.

        Raises:
            InvalidArguments: The arguments do not fit; the function was not called.
        """
        if name not in self._tools:
            return unknown_tool(name, self._tools)
        return await self._tools[name].run(arguments, self._on_failure)


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


def outcome_of(result: object) -> ToolOutcome:
    """What a function returned, as an outcome.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: JSON cannot carry it.
    """
    match result:
        case ToolOutcome():
            return result
        case TextBlock() | ImageBlock() | DocumentBlock() | OpaqueBlock():
            return ToolOutcome(content=(result,))
        case None | "":
            return _text(NO_OUTPUT)
        case str():
            return _text(str(result))
        case list() | tuple() if blocks := _blocks(result):
            return ToolOutcome(content=blocks)
    return _text(msgspec.json.encode(result).decode())


def _text(text: str) -> ToolOutcome:
    return ToolOutcome(content=(TextBlock(text=text),))


def _blocks(result: Iterable[object]) -> tuple[ResultContent, ...]:
    """``result`` as blocks, or nothing where any of it is something else."""
    blocks: list[ResultContent] = []
    for each in result:
        if not isinstance(each, TextBlock | ImageBlock | DocumentBlock | OpaqueBlock):
            return ()
        blocks.append(each)
    return tuple(blocks)


def _brief(error: Exception) -> str:
    """The class and the first line of the message, cut: no traceback, no novel."""
    lines = str(error).splitlines()
    message = lines[0][:_MAX_ERROR_CHARS] if lines else ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
