"""No regular expression of ours takes more than linear time, whatever it is given.

Every pattern is found by importing everything, and how it is used by reading the source. Attacks are made
from the pattern's own characters; time is the processor's, and may grow with the text's length only.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from msgspec import Struct

SOURCE = Path(__file__).parent.parent.parent / "src"
OPTIONAL = {"callboard.providers.local_model"}
"""Needs packages that need not be installed."""

METHODS = ("search", "match", "fullmatch", "finditer", "findall", "sub")
BOUNDED = {
    "callboard.telemetry.redaction": 4_096,
    "callboard.wire.openai_chat.error._SECRET": 2_000,
}
"""Who looks at the beginning of a text only: characters of it."""

SIZES = (1_000, 5_000, 25_000, 50_000, 100_000, 200_000)
"""Small ones first: what grows too fast is found before it takes for ever."""

MOST = 1.5
"""How much more than the text's the time's growth may be, for what a processor's caches do to it."""

TOO_QUICK_S = 0.002
"""What takes less says nothing about growth."""

Text = str | bytes


class Use(Struct, frozen=True):
    """A pattern, and one way in which it is used."""

    name: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    method: str

    def run(self, text: str) -> None:
        """Use it on ``text``."""
        pattern: object = self.pattern
        subject: Text = text if isinstance(self.pattern.pattern, str) else text.encode("latin-1", "replace")
        method = getattr(pattern, self.method)
        if self.method == "sub":
            method(subject[:0], subject)
        elif self.method == "finditer":
            for _ in method(subject):
                pass
        else:
            method(subject)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def compiled_in(tree: ast.Module) -> int:
    """How many patterns a module's text compiles."""
    return sum(
        1 for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile"
    )


def methods_of(tree: ast.Module) -> dict[str, set[str]]:
    """By name, how a module uses what may be patterns."""
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
            used.setdefault(node.value.id, set()).add(node.attr)
    return used


def uses() -> Iterator[Use]:
    everywhere: dict[str, set[str]] = {}
    trees = dict(modules())
    for tree in trees.values():
        for name, methods in methods_of(tree).items():
            everywhere.setdefault(name, set()).update(methods)
    for module, tree in trees.items():
        if not compiled_in(tree) or module in OPTIONAL:
            continue
        for name, value in vars(importlib.import_module(module)).items():
            bound = getattr(value, "__self__", None)
            if isinstance(value, re.Pattern):
                used = methods_of(tree).get(name) or everywhere.get(name) or set(METHODS)
                for method in sorted(used):
                    yield Use(f"{module}.{name}", value, method)
            elif isinstance(bound, re.Pattern):
                yield Use(f"{module}.{name}", bound, value.__name__)


def attacks(pattern: str | bytes, size: int) -> Iterator[str]:
    """Texts of ``size`` characters made of what the pattern itself speaks of."""
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    literals = {*re.sub(r"\\[a-zA-Z]", "", text)} | set('a0 \t.:=-"')
    words = set(re.findall(r"[A-Za-z`:/\- ]{2,}", text))
    for unit in sorted(literals | words | {"a:", "a ", "0.", "a-", "\\a", "x://", "aB0"}):
        run = (unit * (size // len(unit) + 1))[:size]
        yield run[:-1] + "!"
        yield "a" + run[:-2] + "\x00"
    for word in sorted(words):
        for filler in ("a", " ", "0"):
            yield word + filler * (size - len(word) - 1) + "\x00"


def seconds(work: Callable[[], None]) -> float:
    """Of processor time."""
    since = time.process_time()
    work()
    return time.process_time() - since


def grows_too_fast(use: Use, texts: Sequence[str]) -> str | None:
    """Where the time grows faster than the text; the texts become longer and longer."""
    before_s = 0.0
    for at, text in enumerate(texts):
        took_s = seconds(partial(use.run, text))
        if at:
            shorter = texts[at - 1]
            growth = MOST * len(text) / len(shorter)
            # A busy machine slows single runs down: the best of some more counts, beside the shorter text,
            # which may have had a quieter moment.
            for _ in range(10):
                if took_s <= growth * max(before_s, TOO_QUICK_S):
                    break
                before_s = max(before_s, seconds(partial(use.run, shorter)))
                took_s = min(took_s, seconds(partial(use.run, text)))
            else:
                return f"{text[:40]!r}: {len(text)} characters {took_s:.3f} s, a shorter one {before_s:.3f} s"
        before_s = took_s
    return None


EVERY = list(uses())


def test_every_pattern_of_the_source_is_tried() -> None:
    written = sum(compiled_in(tree) for module, tree in modules() if module not in OPTIONAL)
    assert len({use.name for use in EVERY}) >= written > 30


@pytest.mark.parametrize("use", EVERY, ids=lambda use: f"{use.name}.{use.method}")
def test_time_grows_with_the_text_and_no_faster(use: Use) -> None:
    limit = BOUNDED.get(use.name) or BOUNDED.get(use.name.rpartition(".")[0]) or SIZES[-1]
    sizes = [size for size in SIZES if size <= limit] or [limit]
    for texts in zip(*(list(attacks(use.pattern.pattern, size)) for size in sizes), strict=True):
        assert grows_too_fast(use, texts) is None
