"""The C programs, compiled once, and a running mock upstream."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gateways.loader import Upstream, running_upstream
from benchmarks.gateways.native import build, compiler
from tests.benchmarks.asking import core


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The mock upstream and the load generator."""
    if compiler() is None:
        pytest.skip("there is no C compiler")
    cache = tmp_path_factory.mktemp("native")
    return build("upstream", cache), build("load", cache)


@pytest.fixture
def upstream(binaries: tuple[Path, Path]) -> Iterator[Upstream]:
    """A mock upstream whose books are empty."""
    with running_upstream(binaries[0], core()) as running:
        yield running
