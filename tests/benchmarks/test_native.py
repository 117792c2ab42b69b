"""The C programs are compiled once, and who cannot is told why."""

from pathlib import Path

import pytest

from benchmarks.gateways.native import CannotMeasureError, build


def test_a_program_is_compiled_once(binaries: tuple[Path, Path]) -> None:
    before = binaries[1].stat().st_mtime_ns
    assert build("load", binaries[1].parent) == binaries[1]
    assert binaries[1].stat().st_mtime_ns == before


def test_without_a_compiler_we_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasureError, match="apt-get install gcc"):
        build("load", tmp_path, path=str(tmp_path))
