"""House: the names that are given at the doors."""

from __future__ import annotations

import re

from callboard.serving.house import NAMES_AT_ONCE, Names


def test_each_name_is_new_and_has_128_bits() -> None:
    names = Names()
    given = [names.new("req_") for _ in range(2 * NAMES_AT_ONCE + 1)]
    assert all(re.fullmatch("req_[0-9a-f]{32}", name) for name in given)
    assert len(set(given)) == len(given)
