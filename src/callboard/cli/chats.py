"""``callboard chats``: the files of single users, brought into the store and out of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio
import msgspec

from callboard.chats.archive import ExportReport, ImportReport, export_file, import_file, user_of
from callboard.cli.options import add_config, read_config
from callboard.cli.terminal import printable
from callboard.config import Config
from callboard.errors import ConfigurationError
from callboard.store.opening import open_store

DONE, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``import FILE | export FILE``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="import | export")
    imported = actions.add_parser("import", help="bring a file into the store", allow_abbrev=False)
    exported = actions.add_parser("export", help="write a user's conversations", allow_abbrev=False)
    for each in (imported, exported):
        each.add_argument("file", type=Path, metavar="FILE", help="USER.json, or another name with --user")
        each.add_argument("--user", metavar="U", help="whose it is (default: as the file is called)")
        each.add_argument("--json", action="store_true", help="print JSON")
        add_config(each)


def run(arguments: argparse.Namespace) -> int:
    """Import or export; 1 where something of a file had to be left out."""
    config = read_config(arguments)
    if config.store.url == "memory:":
        raise ConfigurationError(
            'this store is forgotten with its process: set [store] url to "sqlite:///PATH"'
        )
    user = user_of(arguments.file, arguments.user)
    if arguments.action == "import":
        imported = anyio.run(_import, config, arguments.file, user)
        _print_json(imported) if arguments.json else _say(imported)
        return FAILED if imported.left else DONE
    exported = anyio.run(_export, config, arguments.file, user)
    if arguments.json:
        _print_json(exported)
    else:
        print(f"{exported.conversations} conversations, {exported.messages} messages: {arguments.file}")
    return DONE


async def _import(config: Config, path: Path, user: str) -> ImportReport:
    async with open_store(config.store.url, _folder(config)) as store:
        return await import_file(store, path, user)


async def _export(config: Config, path: Path, user: str) -> ExportReport:
    async with open_store(config.store.url, _folder(config)) as store:
        return await export_file(store, path, user)


def _folder(config: Config) -> Path:
    return Path.cwd() if config.path is None else config.path.parent


def _say(report: ImportReport) -> None:
    counts = (
        (report.new, "new"),
        (report.extended, "extended"),
        (report.unchanged, "unchanged"),
        (report.left, "left out"),
    )
    said = ", ".join(f"{len(which)} {how}" for which, how in counts)
    print(f"{printable(report.user)}: {said}; copy of the file: {printable(report.backup)}")
    for each in report.left:
        sys.stderr.write(f"callboard: left out {printable(each.id)}: {printable(each.reason)}\n")


def _print_json(report: ImportReport | ExportReport) -> None:
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
