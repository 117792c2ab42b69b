"""What libraries log becomes our lines for the length of a block, without the values they fill in."""

import logging
from pathlib import Path

from callboard.config import LogConfig
from callboard.telemetry.libraries import LIBRARIES, library_logs
from callboard.telemetry.logging import Log
from callboard.telemetry.sink import open_file
from tests.telemetry.logfmt import parse


def log_to(path: Path) -> Log:
    return Log(open_file(str(path)), LogConfig(level="debug"))


def lines(path: Path) -> list[dict[str, str]]:
    return [parse(line) for line in path.read_text().splitlines()]


def test_a_library_s_line_has_its_level_and_its_template(tmp_path: Path) -> None:
    with library_logs(log_to(tmp_path / "log")):
        logging.getLogger("asyncio").warning("Executing %s took long", "what a user wrote")
        logging.getLogger("httpx2").info("GET https://x/?key=1")
        logging.getLogger("httpcore2.connection").warning("odd\nsecond line")
    first, second = lines(tmp_path / "log")
    assert [first[key] for key in ("level", "msg", "logger", "text")] == [
        "WARN",
        "library log",
        "asyncio",
        "Executing %s took long",
    ]
    assert [second[key] for key in ("level", "logger", "text")] == ["WARN", "httpcore2.connection", "odd"]


def test_an_exception_is_told_by_its_class(tmp_path: Path) -> None:
    with library_logs(log_to(tmp_path / "log")):
        try:
            int("what a user wrote")
        except ValueError:
            logging.getLogger("asyncio").exception("Task exception was never retrieved\n")
    (line,) = lines(tmp_path / "log")
    assert (line["level"], line["text"], line["error"]) == (
        "ERROR",
        "Task exception was never retrieved",
        "ValueError",
    )
    assert "user" not in (tmp_path / "log").read_text()


def test_afterwards_every_logger_is_as_it_was(tmp_path: Path) -> None:
    def state() -> list[tuple[int, bool, int]]:
        loggers = map(logging.getLogger, LIBRARIES)
        return [(each.level, each.propagate, len(each.handlers)) for each in loggers]

    before = state()
    with library_logs(log_to(tmp_path / "log")):
        assert state() != before
    assert state() == before
