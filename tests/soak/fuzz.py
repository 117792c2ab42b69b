"""Random cases from a seed, for a limited time."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

SECONDS = float(os.environ.get("CALLBOARD_FUZZ_S", "20"))
SEED = int(os.environ.get("CALLBOARD_FUZZ_SEED", "2026"))


class Fuzz:
    """A stream of cases for a limited time.

    Attributes:
        tried: Cases so far.
        met: What came of them.
    """

    def __init__(self) -> None:
        self.chance = random.Random(SEED)
        self.tried = 0
        self.met: Counter[str] = Counter()

    def rounds(self) -> Iterator[None]:
        """Once for each case."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(100):
                self.tried += 1
                yield

    def mutated(self, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
        """One of the seeds, changed a few times."""
        chance = self.chance
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((0, 1, 1, 2, 3, 6, 12))):
            at = chance.randrange(len(data) + 1)
            to = min(len(data), at + chance.choice((0, 1, 1, 2, 5, 20)))
            match chance.randrange(6):
                case 0:
                    del data[at:to]
                case 1:
                    data[at:at] = data[at:to] * chance.randint(1, 4)
                case 2:
                    data[at:to] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 3)))
                case 3:
                    other = chance.choice(seeds)
                    data[at:] = other[chance.randrange(len(other) + 1) :]
                case _:
                    data[at:at] = chance.choice(words)
        return bytes(data)

    def split(self, data: bytes) -> Iterator[bytes]:
        """``data`` in pieces; some are empty."""
        places = sorted(
            self.chance.randrange(len(data) + 1) for _ in range(self.chance.choice((0, 1, 3, 10, 40)))
        )
        for start, end in zip((0, *places), (*places, len(data)), strict=True):
            yield data[start:end]

    def report(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """One line of figures."""
        with capsys.disabled():
            sys.stdout.write(f"\n{name}: {self.tried} cases, {dict(self.met)}\n")
