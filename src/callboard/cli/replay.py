"""``callboard replay``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

from callboard.cli.options import add_config, read_config
from callboard.cli.version import installed_version
from callboard.config import Config
from callboard.errors import ConfigurationError
from callboard.replay import Divergence, decode_recording, encode_recording, export, rerun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``FILE``, or ``--export ID [--out FILE] [--tenant NAME]``."""
    add_config(parser)
    parser.add_argument("file", nargs="?", metavar="FILE", help="recording to run again")
    parser.add_argument("--export", metavar="ID", help="write the recording of a stored response instead")
    parser.add_argument("--out", metavar="FILE", help="where to (default: standard output)")
    parser.add_argument("--tenant", default="local", metavar="NAME", help="whose it is (default: local)")


def run(arguments: argparse.Namespace) -> int:
    """Run a recorded response again and compare, or record one."""
    if (arguments.file is None) == (arguments.export is None):
        raise ConfigurationError("replay: name a FILE to run again, or the response to --export")
    if arguments.export is not None:
        anyio.run(_export, read_config(arguments), arguments)
        return 0
    try:
        recording = decode_recording(Path(arguments.file).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{arguments.file}: {error.strerror or error}") from error
    found = anyio.run(rerun, recording)
    if not isinstance(found, Divergence):
        print(f"identical, {found} events")
        return 0
    print(f"event {found.number} differs")
    for name, side in (("recorded", found.recorded), ("replayed", found.replayed)):
        print(f"{name}: {side.decode() or '(the stream has ended)'}")
    return 1


async def _export(config: Config, arguments: argparse.Namespace) -> None:
    recording = await export(config, arguments.tenant, arguments.export, version=installed_version())
    data = encode_recording(recording)
    if arguments.out is None:
        sys.stdout.write(data.decode())
    else:
        await anyio.Path(arguments.out).write_bytes(data)
