"""An exception as fields."""

from callboard.telemetry.failure import MAX_FRAMES, failure_fields, whereabouts


def fall(depth: int) -> None:
    if depth == 0:
        raise ValueError("message")
    fall(depth - 1)


def caught(depth: int) -> ValueError:
    try:
        fall(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_the_way_is_told_from_the_inside_and_not_without_end() -> None:
    here = (whereabouts(caught(1)) or "").split(" < ")
    raised, called = fall.__code__.co_firstlineno + 2, fall.__code__.co_firstlineno + 3
    assert here[:2] == [f"test_failure.py:{raised}", f"test_failure.py:{called}"]
    assert len(here) == 3
    assert len((whereabouts(caught(50)) or "").split(" < ")) == MAX_FRAMES


def test_an_error_that_was_never_raised_has_no_way() -> None:
    assert failure_fields(KeyError("k")) == {"error": "KeyError", "at": None, "detail": "'k'"}
