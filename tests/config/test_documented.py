"""What docs/limits.md says of the configuration's keys is what the schema says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import fields

from callboard.config import LimitsConfig, ServerConfig
from callboard.config.schema import Timeouts

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
ROW = re.compile(r"^\| `(\w+)` \| (`[^`]+`|none) \|", re.MULTILINE)
NO_LIMITS = {"host", "port", "max_rounds", "allowed_hosts"}
"""Keys of ``[server]`` that bound nothing of this page."""


def rows_under(heading: str) -> dict[str, str]:
    """Key and default of each row of the section whose heading has these words."""
    sections = PAGE.read_text().split("\n## ")
    (section,) = [each for each in sections if heading in each.partition("\n")[0]]
    return {key: default.strip("`") for key, default in ROW.findall(section)}


def defaults_of(shape: type[Struct]) -> Iterator[tuple[str, str]]:
    """Every key and its default, as it would be written."""
    for each in fields(shape):
        if each.name not in NO_LIMITS:
            value = each.default
            whole = int(value) if isinstance(value, float) and value.is_integer() else value
            shown = [] if value == () else whole
            yield each.name, "none" if value is None else msgspec.json.encode(shown).decode()


@pytest.mark.parametrize(
    "heading, shape", [("[limits]", LimitsConfig), ("[server]", ServerConfig), ("timeouts", Timeouts)]
)
def test_each_limit_is_on_the_page_with_its_default(heading: str, shape: type[Struct]) -> None:
    assert rows_under(heading) == dict(defaults_of(shape))
