"""Where logins to MCP servers are kept: beside the other state of this configuration."""

from __future__ import annotations

from pathlib import Path

from callboard.config.schema import Config

_SQLITE = "sqlite:///"


def logins_folder(config: Config) -> Path:
    """The folder with one file for each server that somebody has logged in to.

    It is ``[mcp] logins_path``, else ``mcp`` beside the store's database, or in ``.callboard`` where the
    store is in memory. Relative paths start from the configuration file's folder or the working directory.
    """
    start = Path.cwd() if config.path is None else config.path.parent
    if config.mcp.logins_path is not None:
        return start / config.mcp.logins_path
    if config.store.url.startswith(_SQLITE):
        return (start / config.store.url.removeprefix(_SQLITE)).parent / "mcp"
    return start / ".callboard" / "mcp"
