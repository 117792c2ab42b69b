"""Tools for a model that has no native tool calling: choices and arguments by schema-constrained decoding.

A call is made in up to two small generations whose output a JSON Schema pins down: the model names one of
the tools, or that it wants to answer; then it fills in the arguments of that tool. Results come back to it
as plain text, because its chat template knows no tool messages.

How well it chooses is the model's business. One of a hundred million parameters fills in arguments reliably
when it is told which tool to use; left to choose for itself it is often wrong.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message, text_of, tool_results, user_text
from callboard.domain.tools import ToolDefinition

ANSWER = "answer"
"""What the model names where it wants no tool; taken as that even if a tool has the name."""

CHOICE_TOKENS = 32
ARGUMENT_TOKENS = 512


class Plain(Struct, frozen=True, kw_only=True):
    """Answer in words."""


class Choose(Struct, frozen=True, kw_only=True):
    """Let the model choose one of ``tools``, or, where it ``may_answer``, none."""

    tools: tuple[ToolDefinition, ...]
    may_answer: bool


class Call(Struct, frozen=True, kw_only=True):
    """Make the model call ``tool``."""

    tool: ToolDefinition


def plan(request: GenerationRequest) -> Plain | Choose | Call:
    """What the first generation is for.

    A model that has just been given results answers: asked to choose again, a small one calls for ever.
    """
    choice = request.tool_choice
    mode = "auto" if choice is None else choice.mode
    if not request.tools or mode == "none":
        return Plain()
    if choice is not None and mode == "tool":
        named = [tool for tool in request.tools if tool.name == choice.name]
        return Call(tool=named[0]) if named else Plain()
    if mode == "required":
        only = len(request.tools) == 1
        return Call(tool=request.tools[0]) if only else Choose(tools=request.tools, may_answer=False)
    if request.messages and tool_results(request.messages[-1]):
        return Plain()
    return Choose(tools=request.tools, may_answer=True)


def in_plain_text(request: GenerationRequest) -> GenerationRequest:
    """``request`` without tools; what they found is told as something the model has looked up itself."""
    messages = tuple(told for message in request.messages for told in _told(message) if told.content)
    return replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None)


def choosing(request: GenerationRequest, step: Choose) -> GenerationRequest:
    """Asks for the name of a tool, or for `ANSWER`, as a JSON string.

    The tools' own descriptions serve as examples of what calls for them.
    """
    listed = "\n".join(f"- {tool.name}: {_summary(tool)}" for tool in step.tools)
    rules = (
        f"Name the one function that the message needs, or {ANSWER} if it needs none.\n{listed}\n- {ANSWER}"
    )
    described = ((_summary(tool), tool.name) for tool in step.tools)
    examples = (("Hello!", ANSWER), *described, ("Who wrote Hamlet?", ANSWER))
    shots = tuple(
        message
        for asked, named in examples
        for message in (user_text(asked), _said(msgspec.json.encode(named).decode()))
    )
    names = [tool.name for tool in step.tools]
    schema = {"enum": [ANSWER, *names] if step.may_answer else names}
    return _constrained(request, rules, (*shots, user_text(_last_text(request))), schema, CHOICE_TOKENS)


def calling(request: GenerationRequest, tool: ToolDefinition) -> GenerationRequest:
    """Asks for the arguments of a call of ``tool``, as a JSON object of its schema."""
    rules = (
        f"You call the function {tool.name}: {_summary(tool)}\n"
        f"Its arguments: {bytes(tool.input_schema).decode()}\nReply with the arguments as JSON."
    )
    schema = msgspec.json.decode(tool.input_schema)
    return _constrained(request, rules, (user_text(_last_text(request)),), schema, ARGUMENT_TOKENS)


def decided(step: Choose, text: str) -> Call | Plain:
    """What follows the answer to `choosing`."""
    try:
        name = msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return Plain()
    named = [tool for tool in step.tools if tool.name == name]
    return Call(tool=named[0]) if named and name != ANSWER else Plain()


def _constrained(
    request: GenerationRequest, rules: str, messages: tuple[Message, ...], schema: object, tokens: int
) -> GenerationRequest:
    pinned = ResponseFormat(
        kind="json_schema", name="reply", schema=Raw(msgspec.json.encode(schema)), strict=True
    )
    return replace(
        in_plain_text(request),
        system=(TextBlock(text=rules),),
        messages=messages,
        response_format=pinned,
        max_output_tokens=tokens,
        temperature=0.0,
        stop=(),
    )


def _told(message: Message) -> tuple[Message, ...]:
    words = tuple(block for block in message.content if not isinstance(block, ToolUseBlock | ToolResultBlock))
    results = tool_results(message)
    if not results:
        return (replace(message, content=words),)
    found = "; ".join(f"failed ({_text(each)})" if each.is_error else _text(each) for each in results)
    asked = TextBlock(text="So, what is the answer?")
    return _said(f"I looked it up: {found}."), Message(role="user", content=(*words, asked))


def _text(result: ToolResultBlock) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextBlock))


def _last_text(request: GenerationRequest) -> str:
    users = [message for message in request.messages if message.role == "user"]
    return text_of(users[-1].content) if users else ""


def _summary(tool: ToolDefinition) -> str:
    return tool.description.partition("\n")[0] or tool.name.replace("_", " ")


def _said(text: str) -> Message:
    return Message(role="assistant", content=(TextBlock(text=text),))
