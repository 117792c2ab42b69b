"""Decoders: right for every cut of the input, bounded for every input."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import RemoteWireError
from callboard.transport.decoding import STEP_BYTES, BodyDecoder, decoder_for
from callboard.transport.http import Limits

WBITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS, "bare deflate": -zlib.MAX_WBITS}


def pack(data: bytes, kind: str) -> bytes:
    packer = zlib.compressobj(wbits=WBITS[kind])
    return packer.compress(data) + packer.flush()


def unpack(decoder: BodyDecoder | None, raw: bytes, size: int) -> bytes:
    assert decoder is not None
    out = []
    for at in range(0, len(raw), size):
        decoder.feed(raw[at : at + size])
        while piece := decoder.take():
            out.append(piece)
    decoder.finish()
    return b"".join(out)


@pytest.mark.parametrize("kind", WBITS)
@given(data=st.binary(max_size=2000).map(lambda data: data * 50), size=st.integers(1, 5000))
def test_any_cut_decodes_to_the_same(kind: str, data: bytes, size: int) -> None:
    raw = pack(data, kind)
    size = max(size, len(raw) // 200 + 1)
    limits = Limits(ratio=10_000)
    assert unpack(decoder_for(kind.removeprefix("bare "), limits), raw, size) == data


@pytest.mark.parametrize("kind", WBITS)
def test_byte_by_byte_is_enough(kind: str) -> None:
    assert unpack(decoder_for(kind.removeprefix("bare "), Limits()), pack(b"hello", kind), 1) == b"hello"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_gzip_may_have_several_members(size: int) -> None:
    raw = pack(b"one", "gzip") + pack(b"two", "gzip")
    assert unpack(decoder_for("gzip", Limits()), raw, size) == b"onetwo"


@pytest.mark.parametrize("kind", WBITS)
def test_a_large_output_comes_in_bounded_steps_and_whole(kind: str) -> None:
    decoder = decoder_for(kind.removeprefix("bare "), Limits(ratio=10_000))
    assert decoder is not None
    decoder.feed(pack(bytes(1_000_000), kind))
    sizes = []
    while piece := decoder.take():
        sizes.append(len(piece))
    decoder.finish()
    assert (max(sizes), sum(sizes)) == (STEP_BYTES, 1_000_000)


def test_a_suspicious_ratio_is_refused_only_beyond_the_floor() -> None:
    raw = pack(bytes(500_000), "gzip")
    assert len(unpack(decoder_for("gzip", Limits(ratio=100)), raw, len(raw))) == 500_000
    with pytest.raises(RemoteWireError):
        unpack(decoder_for("gzip", Limits(ratio=100, ratio_floor_bytes=400_000)), raw, len(raw))


@pytest.mark.parametrize("kind", WBITS)
def test_the_decoded_length_is_bounded(kind: str) -> None:
    data = bytes(range(256)) * 10
    raw = pack(data, kind)
    name = kind.removeprefix("bare ")
    assert unpack(decoder_for(name, Limits(body_bytes=2560)), raw, len(raw)) == data
    with pytest.raises(RemoteWireError):
        unpack(decoder_for(name, Limits(body_bytes=2559)), raw, len(raw))


@pytest.mark.parametrize("kind", WBITS)
def test_a_cut_anywhere_is_refused(kind: str) -> None:
    raw = pack(b"hello", kind)
    for cut in range(1, len(raw)):
        with pytest.raises(RemoteWireError):
            unpack(decoder_for(kind.removeprefix("bare "), Limits()), raw[:cut], 3)


@pytest.mark.parametrize(
    "raw",
    [
        b"hello, world",
        pack(b"hello", "gzip")[:-8] + b"\x00" * 8,
        pack(b"hello", "gzip") + b"more",
        pack(b"hello", "deflate"),
    ],
)
def test_corrupt_gzip_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteWireError):
        unpack(decoder_for("gzip", Limits()), raw, len(raw))


def test_deflate_does_not_go_on_after_its_end() -> None:
    with pytest.raises(RemoteWireError):
        unpack(decoder_for("deflate", Limits()), pack(b"hello", "deflate") * 2, 1000)


@pytest.mark.parametrize("name", ["identity", "", " Identity "])
def test_what_is_not_encoded_needs_no_decoder(name: str) -> None:
    assert decoder_for(name, Limits()) is None


@pytest.mark.parametrize("name", ["gzip", "deflate", " GZIP "])
def test_no_body_at_all_is_fine(name: str) -> None:
    assert unpack(decoder_for(name, Limits()), b"", 1) == b""


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, gzip", "gzip,identity"])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(RemoteWireError):
        decoder_for(name, Limits())
