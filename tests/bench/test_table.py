"""The table."""

from __future__ import annotations

from callboard.bench.plan import OpenLoop
from callboard.bench.table import render
from tests.bench.results import A, document_of


def row(text: str, title: str, name: str) -> list[str]:
    """The cells of ``name`` in the block that ``title`` heads."""
    block = next(block for block in text.split("\n\n") if block.lstrip().startswith(title))
    line = next(line for line in block.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_the_heading_says_what_was_done() -> None:
    heading = render(document_of()).splitlines()[0]
    assert heading == "chat, streamed · model m · closed loop, 1 at once · 1 s after 1 s warm-up"


def test_targets_stand_below_each_other() -> None:
    text = render(document_of())
    assert row(text, "requests/s", "ours") == ["100", "300", "500", "100", "0", "10.0", "kB"]
    assert row(text, "requests/s", "<theirs> & co") == ["100", "300", "300*", "100", "0", "10.0", "kB"]
    assert row(text, "latency, ms", "ours") == ["10.0", "10.0", "10.0", "100", "100", "100", "14.5"]
    assert row(text, "latency, ms", "<theirs> & co")[0] == "20.0"
    assert row(text, "first token, ms", "ours")[0] == "5.00"
    assert row(text, "between tokens, ms", "ours")[0] == "2.50"


def test_the_others_are_compared_with_the_first() -> None:
    text = render(document_of())
    assert row(text, "against ours", "<theirs> & co")[:4] == ["1.00×", "0.600×", "2.00×", "2.00×"]


def test_one_target_is_compared_with_nobody() -> None:
    assert "against" not in render(document_of(targets=(A,)))


def test_counted_tokens_are_said_to_be_counted() -> None:
    assert "* chunks were counted" in render(document_of())
    assert "*" not in render(document_of(targets=(A,)))


def test_columns_are_aligned() -> None:
    block = render(document_of()).split("\n\n")[2].splitlines()
    assert len({len(line) for line in block}) == 1


def test_the_loaders_own_delay_is_shown_for_an_open_loop_and_warned_of_where_it_counts() -> None:
    assert "loader" not in render(document_of())
    good = render(document_of(OpenLoop(rate=100.0), lag_ms=0.5))
    assert row(good, "loader late by, ms", "ours")[0] == "0.500"
    assert "itself was late" not in good
    bad = render(document_of(OpenLoop(rate=100.0), lag_ms=2.5))
    assert "The loader itself was late (ours):" in bad


def test_errors_are_listed_by_type() -> None:
    text = render(document_of(OpenLoop(rate=100.0), OpenLoop(rate=200.0), errors=7, targets=(A,)))
    assert "errors of ours, open loop, 200/s constant: http_429 7" in text


def test_a_sweep_is_a_row_for_each_rate_and_a_verdict() -> None:
    text = render(document_of(OpenLoop(rate=100.0), OpenLoop(rate=200.0), errors=7, targets=(A,)))
    assert row(text, "ours", "100/s")[1:3] == ["0", "%"]
    assert row(text, "ours", "200/s")[-1] == "saturated"
    assert "ours sustained 100 requests/s." in text


def test_a_sweep_that_found_no_end_says_so() -> None:
    text = render(document_of(OpenLoop(rate=100.0), OpenLoop(rate=101.0), targets=(A,)))
    assert "ours sustained 101 requests/s, the highest that was tried." in text


def test_an_interruption_is_said() -> None:
    text = render(document_of(interrupted=True))
    assert "Interrupted" in text
    assert "Nothing was measured." in text
