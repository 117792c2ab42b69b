"""``callboard keys``: client keys, made, listed and taken back; a running server notices within a second."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import anyio
import msgspec
from msgspec import Struct

from callboard.cli.options import add_config, read_config
from callboard.cli.terminal import printable
from callboard.config import Config
from callboard.domain.client_key import Allowance, ClientKey
from callboard.domain.principal import SCOPES
from callboard.serving.key_desk import KeyOrder, open_desk

N = TypeVar("N", int, float, Decimal)
COLUMNS = ("ID", "NAME", "TENANT", "SCOPES", "ENDS", "STATE", "CREATED", "LIMITS", "MODELS", "TOOLS")


class Shown(Struct, frozen=True, kw_only=True):
    """A key as a program reads it; times are RFC 3339, absent limits those of ``[limits]``."""

    id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    state: str
    last_four: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    limits: Allowance
    models: tuple[str, ...] | None
    tools: tuple[str, ...] | None
    key: str | msgspec.UnsetType = msgspec.UNSET


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``create NAME … | list [--json] | revoke ID``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="create | list | revoke")
    create = actions.add_parser("create", help="make a key and print it, once", allow_abbrev=False)
    create.add_argument("name", metavar="NAME", help="what people call it")
    create.add_argument(
        "--tenant", metavar="T", help="whose data it sees (default: a new tenant's, called like the key)"
    )
    create.add_argument(
        "--scope", action="append", choices=SCOPES, help="what it is for; repeatable (default: client)"
    )
    create.add_argument(
        "--model", action="append", metavar="M", help="a model it may use, or M*; repeatable (default: all)"
    )
    create.add_argument(
        "--tool", action="append", metavar="T", help="a tool it is offered; repeatable (default: all)"
    )
    create.add_argument("--no-tools", action="store_true", help="it is offered no tool")
    for name, meaning in (
        ("requests-per-minute", "requests a minute"),
        ("tokens-per-minute", "tokens a minute, prompt and answer"),
        ("parallel", "requests at the same time"),
    ):
        create.add_argument(f"--{name}", type=_count, metavar="N", help=f"{meaning} (default: [limits])")
    create.add_argument(
        "--cost-per-day-usd", type=_amount, metavar="USD", help="budget for a UTC day (default: [limits])"
    )
    create.add_argument(
        "--expires", type=_days, metavar="DAYS", help="how long it is valid (default: for ever)"
    )
    every = actions.add_parser("list", help="list the keys, without their secrets", allow_abbrev=False)
    revoke = actions.add_parser("revoke", help="let a key in no more", allow_abbrev=False)
    revoke.add_argument("id", metavar="ID", help="as `list` shows it")
    for each in (create, every):
        each.add_argument("--json", action="store_true", help="print JSON")
    for each in (create, every, revoke):
        add_config(each)


def run(arguments: argparse.Namespace) -> int:
    """Make, list or revoke keys."""
    config = read_config(arguments)
    action = {"create": _create, "list": _list, "revoke": _revoke}[arguments.action]
    anyio.run(action, config, arguments)
    return 0


async def _create(config: Config, arguments: argparse.Namespace) -> None:
    order = KeyOrder(
        name=arguments.name,
        tenant=arguments.tenant,
        scopes=frozenset(arguments.scope or ("client",)),
        days=arguments.expires,
        allowance=Allowance(
            requests_per_minute=arguments.requests_per_minute,
            tokens_per_minute=arguments.tokens_per_minute,
            cost_per_day_usd=arguments.cost_per_day_usd,
            parallel=arguments.parallel,
        ),
        models=_names(arguments.model),
        tools=() if arguments.no_tools else _names(arguments.tool),
    )
    async with open_desk(config, time.time) as desk:
        token, key = await desk.create(order)
    if arguments.json:
        _print_json(_shown(key, token=token.reveal()))
        return
    print(token.reveal(), flush=True)
    sys.stderr.write(f"This is the key {key.id}. It is shown only now; send it as Authorization: Bearer.\n")


async def _list(config: Config, arguments: argparse.Namespace) -> None:
    async with open_desk(config, time.time) as desk:
        keys = [_shown(key) for key in await desk.keys()]
    if arguments.json:
        _print_json(keys)
        return
    for row in _aligned([COLUMNS, *(_row(key) for key in keys)]):
        print(row)


async def _revoke(config: Config, arguments: argparse.Namespace) -> None:
    async with open_desk(config, time.time) as desk:
        await desk.revoke(arguments.id)


def _shown(key: ClientKey, token: str | msgspec.UnsetType = msgspec.UNSET) -> Shown:
    state = "revoked" if key.revoked_at_s is not None else "valid" if key.is_valid(time.time()) else "expired"
    return Shown(
        id=key.id,
        name=key.name,
        tenant=key.tenant,
        scopes=tuple(scope for scope in SCOPES if scope in key.scopes),
        state=state,
        last_four=key.last_four,
        created_at=_time(key.created_at_s),
        expires_at=None if key.expires_at_s is None else _time(key.expires_at_s),
        revoked_at=None if key.revoked_at_s is None else _time(key.revoked_at_s),
        limits=key.allowance,
        models=key.models,
        tools=key.tools,
        key=token,
    )


def _time(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(key: Shown) -> tuple[str, ...]:
    allowed = key.limits
    limits = (
        (allowed.requests_per_minute, "requests/min"),
        (allowed.tokens_per_minute, "tokens/min"),
        (allowed.cost_per_day_usd, "USD/day"),
        (allowed.parallel, "parallel"),
    )
    said = ", ".join(f"{limit} {unit}" for limit, unit in limits if limit is not None)
    return (
        *(key.id, key.name, key.tenant, ",".join(key.scopes), f"…{key.last_four}", key.state, key.created_at),
        *(said or "-", _joined(key.models), _joined(key.tools)),
    )


def _joined(names: tuple[str, ...] | None) -> str:
    return "all" if names is None else ", ".join(names) or "none"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    for row in safe:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(dict.fromkeys(given))


def _count(text: str) -> int:
    return _least(text, int, 1)


def _amount(text: str) -> Decimal:
    return _least(text, Decimal, Decimal(0))


def _days(text: str) -> float:
    return _least(text, float, 1 / 86_400)


def _least(text: str, read: Callable[[str], N], least: N) -> N:
    try:
        value = read(text)
        fits = least <= value < 10**15
    except (ValueError, InvalidOperation):
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of at least {least:g}")
    return value
