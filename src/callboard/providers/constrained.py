"""Tool calls of a model that cannot call tools: prompts, schemas and the reading of answers. All pure.

A small model does not write tool calls by itself, but it can be held to a JSON Schema while it writes. So a
call is made in two steps, each a generation of its own: which tool, out of an enumeration; then that tool's
arguments, held to its schema, which stream as they are written. The prompts show worked examples, because a
model of 135 million parameters imitates better than it obeys.

Which tool is meant is decided in three ways, the surest first: a tool whose name shares a word with the
message; tools that the model accepts when asked about each alone; among several, the one that it picks. Left
to choose, it is right in three of four messages; told which tool to call, it fills in simple arguments well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Raw

from callboard.domain.arguments import EMPTY_INPUT
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import ArgumentsDelta, BlockStarted, GenerationEvent, GenerationStopped, TextDelta
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message, text_of, tool_results, user_text
from callboard.domain.tools import ToolDefinition

Lines: TypeAlias = Sequence[tuple[str, str]]

DEFAULT_SYSTEM = "You are a helpful assistant. Answer in plain English, in one or two sentences."
MAX_ASKED_ABOUT = 8  # each costs a generation of a few tokens

_NONE = "none"
_NO_TOOL = (
    "Who was Napoleon?",
    "Write a song about love.",
    "What is the capital of Spain?",
    "Why do birds sing?",
    "Tell me something funny.",
    "Hello!",
)
_ARGUMENTS: Lines = (
    ("My name is Bob and I am 41 years old. (name, age)", '{"name": "Bob", "age": 41}'),
    ("Which trains go from Rome to Milan? (start, end)", '{"start": "Rome", "end": "Milan"}'),
)
_RESULTS: Lines = (
    ("How tall is the tower?\nResult: 324 metres", "The tower is 324 metres tall."),
    (
        'Is the museum open today?\nResult: {"open":false,"reason":"holiday"}',
        "No, the museum is not open today because of a holiday.",
    ),
    ("What is 2 + 3?\nResult: 5", "2 + 3 is 5."),
    (
        "Where is my parcel?\nResult: Error: unknown number",
        "I could not find out where your parcel is: unknown number.",
    ),
)
_USE_RESULT = "Answer the question with the result."
_VERBS = frozenset(
    {"find", "fetch", "give", "list", "look", "make", "read", "search", "send", "show", "tell"}
)
_NAME = msgspec.json.Decoder(str)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def plain(request: GenerationRequest) -> GenerationRequest:
    """The request as a conversation in text only, without tools.

    A result becomes a line ``Result: ...`` under the question that led to it, the call itself is left out,
    and where the last message ends with a result, examples of such answers go in front.
    """
    lines = _merged(request.messages)
    answering = bool(request.messages) and bool(tool_results(request.messages[-1]))
    system = "\n".join(block.text for block in request.system)
    if answering:
        system = f"{system}\n{_USE_RESULT}".lstrip()
        lines = [*_conversation(_RESULTS), *lines]
    return msgspec.structs.replace(
        request,
        messages=tuple(lines),
        system=(TextBlock(text=system or DEFAULT_SYSTEM),),
        tools=(),
        tool_choice=None,
        parallel_tool_calls=None,
    )


def question(messages: Sequence[Message]) -> str | None:
    """The last message's text, which may call for a tool; None where it brings results to answer from."""
    if not messages or messages[-1].role != "user" or tool_results(messages[-1]):
        return None
    return text_of(messages[-1].content)


def named_in(text: str, tools: Sequence[ToolDefinition]) -> tuple[ToolDefinition, ...]:
    """The tools whose name, or a longer word of it that is not just a verb, is a word of ``text``."""
    words = set(_words(text))
    return tuple(tool for tool in tools if words & _telling(tool.name))


def ask_about(tool: ToolDefinition, text: str, request: GenerationRequest) -> GenerationRequest:
    """Ask for the tool's name, or ``none``."""
    shown = [(example, _NONE) for example in _NO_TOOL]
    return _choose(request, (tool,), shown, text, (tool.name, _NONE))


def ask_which(tools: Sequence[ToolDefinition], text: str, request: GenerationRequest) -> GenerationRequest:
    """Ask for the name of one of ``tools``."""
    return _choose(request, tools, (), text, tuple(tool.name for tool in tools))


def chosen(text: str, tools: Sequence[ToolDefinition]) -> ToolDefinition | None:
    """The tool that the model's answer names, if it names one."""
    try:
        name = _NAME.decode(text)
    except msgspec.DecodeError:
        return None
    return next((tool for tool in tools if tool.name == name), None)


def ask_arguments(tool: ToolDefinition, text: str, request: GenerationRequest) -> GenerationRequest:
    """Ask for the arguments of ``tool``, held to its schema."""
    names = ", ".join(_parameters(tool.input_schema))
    schema = tool.input_schema if names else Raw(b'{"enum":[{}]}')
    return msgspec.structs.replace(
        _held_to(schema, request),
        system=(TextBlock(text="Extract the values from the message as JSON."),),
        messages=(*_conversation(_ARGUMENTS), user_text(f"{text} ({names})")),
        max_output_tokens=request.max_output_tokens,
    )


class CallTranslator:
    """Turns the text of the arguments step into the call that it stands for, event by event."""

    def __init__(self, tool: ToolDefinition, call_id: str) -> None:
        self._tool = tool
        self._call_id = call_id

    def translate(self, event: GenerationEvent) -> GenerationEvent:
        """The event of the call for an event of the text."""
        match event:
            case BlockStarted(block=TextBlock()):
                call = ToolUseBlock(id=self._call_id, name=self._tool.name, input=EMPTY_INPUT)
                return BlockStarted(index=event.index, block=call)
            case TextDelta():
                return ArgumentsDelta(index=event.index, partial_json=event.text)
            case GenerationStopped(stop_reason="end_turn"):
                return msgspec.structs.replace(event, stop_reason="tool_use")
            case _:
                return event


def _choose(
    request: GenerationRequest,
    tools: Sequence[ToolDefinition],
    shown: Lines,
    text: str,
    names: Sequence[str],
) -> GenerationRequest:
    listed = "\n".join(_line(tool) for tool in tools)
    examples = [*shown, *((f"Please do this: {tool.description or tool.name}", tool.name) for tool in tools)]
    return msgspec.structs.replace(
        _held_to(Raw(msgspec.json.encode({"enum": names})), request),
        system=(
            TextBlock(
                text="Decide which tool fits the message. If no tool fits, decide none.\nTools:\n" + listed
            ),
        ),
        messages=(*_conversation([(ask, f'"{name}"') for ask, name in examples]), user_text(text)),
        max_output_tokens=64,
    )


def _held_to(schema: Raw, request: GenerationRequest) -> GenerationRequest:
    """A new request for JSON of this schema, always the same for the same prompt."""
    return GenerationRequest(
        model=request.model,
        messages=(),
        temperature=0,
        seed=request.seed,
        response_format=ResponseFormat(kind="json_schema", name="answer", schema=schema),
    )


def _line(tool: ToolDefinition) -> str:
    return f"- {tool.name}({', '.join(_parameters(tool.input_schema))}): {tool.description}".rstrip(": ")


def _parameters(schema: Raw) -> tuple[str, ...]:
    """The names in an object schema; none where we cannot read it."""
    try:
        return tuple(_OBJECT.decode(_OBJECT.decode(schema).get("properties", b"{}")))
    except (msgspec.DecodeError, RecursionError):
        return ()


def _telling(name: str) -> frozenset[str]:
    """The words of a tool's name that tell what it is about, and the whole of it."""
    return frozenset(
        {word for word in _words(name) if len(word) > 3} - _VERBS | {name.lower().removesuffix("s")}
    )


def _words(text: str) -> list[str]:
    """The words, in lower case and without a plural's s; names split at underscores and capitals."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.removesuffix("s") for word in re.findall(r"[^\W_]+", spaced.lower())]


def _conversation(lines: Lines) -> list[Message]:
    messages: list[Message] = []
    for user, assistant in lines:
        messages += (user_text(user), Message(role="assistant", content=(TextBlock(text=assistant),)))
    return messages


def _merged(messages: Sequence[Message]) -> list[Message]:
    """The messages as text, neighbours of one role made one, those without text left out."""
    merged: list[Message] = []
    for message in messages:
        text = "\n".join(filter(None, map(_as_text, message.content)))
        if not text:
            continue
        if merged and merged[-1].role == message.role:
            text = f"{text_of(merged.pop().content)}\n{text}"
        merged.append(Message(role=message.role, content=(TextBlock(text=text),)))
    return merged


def _as_text(block: object) -> str:
    match block:
        case TextBlock():
            return block.text
        case ToolResultBlock():
            return f"Result: {'Error: ' if block.is_error else ''}{text_of(block.content)}"
    return ""


def sampling(request: GenerationRequest) -> Mapping[str, object]:
    """What a tiny model needs to make sense, where the caller leaves it open.

    Greedy, because at a higher temperature this model wanders off; a slight penalty on the last words,
    because greedy it runs in circles; but none where it should repeat, as JSON its punctuation and an answer
    its result.
    """
    greedy = {"max_tokens": 512, "temperature": 0, "seed": 1}
    ends_in_result = bool(request.messages) and "\nResult: " in text_of(request.messages[-1].content)
    if request.response_format is not None or ends_in_result:
        return greedy
    return {**greedy, "repeat_penalty": 1.05, "repeat_last_n": 32}
