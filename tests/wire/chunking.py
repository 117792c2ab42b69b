"""Cutting bytes into pieces, for the property that chunking never matters."""

from collections.abc import Iterator

from hypothesis import strategies as st

cuts = st.lists(st.integers(0, 10_000), max_size=12)


def pieces_of(data: bytes, places: list[int]) -> Iterator[bytes]:
    """``data`` in pieces that end at ``places``, as far as they lie within it; some may be empty."""
    start = 0
    for place in sorted(place % (len(data) + 1) for place in places):
        yield data[start:place]
        start = place
    yield data[start:]


def single_bytes(data: bytes) -> Iterator[bytes]:
    """``data`` byte by byte."""
    return (data[at : at + 1] for at in range(len(data)))
