"""Configuration files for tests, and what is wrong with them."""

from collections.abc import Mapping
from pathlib import Path

from callboard.config import problems


def write(folder: Path, text: str) -> Path:
    path = folder / "callboard.toml"
    path.write_text(text, "utf-8")
    return path


def lines_of(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    write(folder, text)
    return [str(each) for each in problems(None, environ=environ or {}, cwd=folder)]
