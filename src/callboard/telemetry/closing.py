"""A request's closing line, written straight from its struct: the one line that every request pays for.

It holds names, numbers and a closed set of words, no text of a user's or a model's, so that it needs none of
the redaction that other lines go through. Strings are escaped as everywhere. Times are kept in whole
microseconds and written in milliseconds with all three decimals, so that the parts add up as written too.
"""

from __future__ import annotations

from functools import lru_cache

from callboard.domain.observation import RequestClosed
from callboard.telemetry.event import Level
from callboard.telemetry.render import familiar_text, json_value, logfmt_text, usd
from callboard.telemetry.schema import REQUEST_CLOSED

_DECIMALS = tuple(f".{part:03d}" for part in range(1000))  # a third of the price of formatting them each time


def closing_level(line: RequestClosed) -> Level:
    """``warn`` where the fault is on our side or behind us, else ``info``."""
    return "warn" if line.status is not None and line.status >= 500 else REQUEST_CLOSED.level


def closing_logfmt(time: str, line: RequestClosed) -> str:
    """The line in logfmt, with its newline."""
    level = "WARN" if closing_level(line) == "warn" else "INFO"
    head = f'time={time} level={level} msg="request closed" request_id={logfmt_text(line.request_id)}'
    if line.response_id is not None:
        head += f" response_id={logfmt_text(line.response_id)}"
    names = _familiar_names(line.assistant, line.provider, line.model, line.route, line.key_id)
    status = "" if line.status is None else f" status={line.status}"
    error = "" if line.error_type is None else f" error_type={familiar_text(line.error_type)}"
    split, usage = line.time, line.usage
    queue, own, ttfb, upstream = split.queue_us, split.own_us, split.upstream_ttfb_us, split.upstream_us
    wall, tool = queue + own + ttfb + upstream, split.tool_us
    return (
        f"{head}{names}{status} stream={'true' if line.stream else 'false'}"
        f" wall_ms={wall // 1000}{_DECIMALS[wall % 1000]} queue_ms={queue // 1000}{_DECIMALS[queue % 1000]}"
        f" own_ms={own // 1000}{_DECIMALS[own % 1000]}"
        f" upstream_ttfb_ms={ttfb // 1000}{_DECIMALS[ttfb % 1000]}"
        f" upstream_ms={upstream // 1000}{_DECIMALS[upstream % 1000]}"
        f" tool_ms={tool // 1000}{_DECIMALS[tool % 1000]}"
        f" tokens_in={usage.prompt_tokens} tokens_out={usage.output_tokens}"
        f" tokens_cached={usage.cache_read_tokens} tokens_reasoning={usage.reasoning_tokens}"
        f" cost_usd={usd(line.cost_picousd)} attempts={line.attempts}{error}\n"
    )


@lru_cache(maxsize=512)
def _familiar_names(
    assistant: str | None, provider: str | None, model: str | None, route: str, key_id: str | None
) -> str:
    """The part of the line that comes again and again."""
    names = (
        ("assistant", assistant),
        ("provider", provider),
        ("model", model),
        ("route", route),
        ("key_id", key_id),
    )
    return "".join([f" {key}={logfmt_text(name)}" for key, name in names if name is not None])


def closing_json(time: str, line: RequestClosed) -> str:
    """The same as JSON."""
    split, usage = line.time, line.usage
    names = (
        ("request_id", line.request_id),
        ("response_id", line.response_id),
        ("assistant", line.assistant),
        ("provider", line.provider),
        ("model", line.model),
        ("route", line.route),
        ("key_id", line.key_id),
    )
    head = "".join([f',"{key}":{json_value(value)}' for key, value in names if value is not None])
    status = "" if line.status is None else f',"status":{line.status}'
    error = "" if line.error_type is None else f',"error_type":{json_value(line.error_type)}'
    return (
        f'{{"time":"{time}","level":"{closing_level(line).upper()}","msg":"request closed"{head}{status}'
        f',"stream":{"true" if line.stream else "false"},"wall_ms":{_ms(split.wall_us)}'
        f',"queue_ms":{_ms(split.queue_us)},"own_ms":{_ms(split.own_us)}'
        f',"upstream_ttfb_ms":{_ms(split.upstream_ttfb_us)},"upstream_ms":{_ms(split.upstream_us)}'
        f',"tool_ms":{_ms(split.tool_us)},"tokens_in":{usage.prompt_tokens},"tokens_out":{usage.output_tokens}'
        f',"tokens_cached":{usage.cache_read_tokens},"tokens_reasoning":{usage.reasoning_tokens}'
        f',"cost_usd":{usd(line.cost_picousd)},"attempts":{line.attempts}{error}}}\n'
    )


def _ms(microseconds: int) -> str:
    return f"{microseconds // 1000}{_DECIMALS[microseconds % 1000]}"
