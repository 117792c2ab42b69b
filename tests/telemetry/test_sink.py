"""The sink: whole lines or counted losses, never an exception."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from callboard.telemetry.sink import Sink


class Pipe(NamedTuple):
    """A pipe that refuses instead of waiting, where it is full."""

    read: int
    sink: Sink
    room: int

    def drain(self) -> str:
        return os.read(self.read, 1 << 20).decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read, write = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(read, False)
    room = 0
    while True:
        try:
            room += os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    os.read(read, 1 << 20)
    sink = Sink(write, owned=True)
    sink.announce = lambda count: f"lost {count}\n"
    yield Pipe(read, sink, room)
    sink.close()
    os.close(read)


def test_lines_arrive_whole_and_at_once(pipe: Pipe) -> None:
    pipe.sink.write("one\n")
    assert pipe.drain() == "one\n"
    pipe.sink.write("zwölf\n")
    assert pipe.drain() == "zwölf\n"


def test_what_is_lost_is_counted_and_told_when_writing_works_again(pipe: Pipe) -> None:
    pipe.sink.write("x" * (pipe.room - 1) + "\n")
    pipe.sink.write("two\n")
    pipe.sink.write("three\n")
    assert pipe.sink.lost == 2
    pipe.drain()
    pipe.sink.write("four\n")
    pipe.sink.write("five\n")
    assert pipe.drain() == "lost 2\nfour\nfive\n"
    assert pipe.sink.lost == 0


def test_a_line_that_breaks_off_does_not_spoil_the_next(pipe: Pipe) -> None:
    pipe.sink.write("x" * (pipe.room + 1) + "\n")
    assert pipe.sink.lost == 1
    assert pipe.drain() == "x" * pipe.room
    pipe.sink.write("next\n")
    assert pipe.drain() == "\nlost 1\nnext\n"


def test_a_reader_that_left_is_a_loss_and_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = Sink(write, owned=True)
    sink.write("one\n")
    sink.write("two\n")
    assert sink.lost == 2
    sink.close()


def test_a_descriptor_that_is_not_ours_stays_open(pipe: Pipe) -> None:
    write = os.dup(1)
    borrowed = Sink(write, owned=False)
    borrowed.close()
    borrowed.write("late\n")
    assert borrowed.lost == 1
    os.close(write)  # raises, had it been closed


def test_lines_that_come_together_reach_a_pipe_in_whole_ones(pipe: Pipe) -> None:
    lines = "".join(f"{number} {'x' * 1500}\n" for number in range(6))
    pipe.sink.write(lines)
    assert pipe.drain() == lines


def test_of_lines_that_come_together_only_those_are_lost_that_did_not_fit(pipe: Pipe) -> None:
    pipe.sink.write("y" * (pipe.room - 4) + "\n")
    pipe.sink.write("a\nbb\nc\n")
    assert pipe.sink.lost in {2, 3}  # a system may write a part, or nothing
    pipe.drain()
    lost = pipe.sink.lost
    pipe.sink.write("next\n")
    assert pipe.drain().strip() == f"lost {lost}\nnext"
