"""The lines that every turn has, written straight from their structs; see `callboard.telemetry.closing`.

What they hold are names and numbers. A name may be anybody's, so it is searched for what must not be shown
like any other text; since names come again and again, that is done once for each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from callboard.domain.observation import CommandCompleted, CommandStarted, ProviderAnswered, ToolExecuting
from callboard.telemetry.redaction import redact_text
from callboard.telemetry.render import go_duration, json_value, logfmt_text

TurnLine: TypeAlias = CommandStarted | ProviderAnswered | ToolExecuting | CommandCompleted
"""All at level ``info``."""


@lru_cache(maxsize=512)
def _bare(name: str) -> str:
    return logfmt_text(redact_text(name))


@lru_cache(maxsize=512)
def _quoted(name: str) -> str:
    return json_value(redact_text(name))


def turn_logfmt(time: str, line: TurnLine) -> str:
    """The line in logfmt, with its newline."""
    turn = f"request_id={_bare(line.request_id)} assistant={_bare(line.assistant)}"
    match line:
        case CommandStarted():
            return f'time={time} level=INFO msg="processing command" {turn}\n'
        case ProviderAnswered():
            return (
                f'time={time} level=INFO msg="provider response" {turn} provider={_bare(line.provider)}'
                f" model={_bare(line.model)} tokens={line.tokens}\n"
            )
        case ToolExecuting():
            return f'time={time} level=INFO msg="executing tool" {turn} name={_bare(line.name)}\n'
        case CommandCompleted():
            duration = go_duration(line.duration_us)
            return f'time={time} level=INFO msg="command completed" {turn} duration={duration}\n'


def turn_json(time: str, line: TurnLine) -> str:
    """The same as JSON."""
    turn = f'"request_id":{_quoted(line.request_id)},"assistant":{_quoted(line.assistant)}'
    match line:
        case CommandStarted():
            return f'{{"time":"{time}","level":"INFO","msg":"processing command",{turn}}}\n'
        case ProviderAnswered():
            return (
                f'{{"time":"{time}","level":"INFO","msg":"provider response",{turn}'
                f',"provider":{_quoted(line.provider)},"model":{_quoted(line.model)},"tokens":{line.tokens}}}\n'
            )
        case ToolExecuting():
            return (
                f'{{"time":"{time}","level":"INFO","msg":"executing tool",{turn}'
                f',"name":{_quoted(line.name)}}}\n'
            )
        case CommandCompleted():
            return (
                f'{{"time":"{time}","level":"INFO","msg":"command completed",{turn}'
                f',"duration":"{go_duration(line.duration_us)}"}}\n'
            )
