"""The opening handshake of a WebSocket."""

from __future__ import annotations

import pytest

from callboard.errors import UnreadableRequest
from callboard.serving.http1.websocket_handshake import accept_key

SAMPLE = {
    b"connection": b"keep-alive, Upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


def test_the_specifications_own_example() -> None:
    """RFC 6455, 1.3."""
    assert accept_key(SAMPLE) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "name, value, status",
    [
        (b"connection", b"keep-alive", 400),
        (b"connection", b"upgraded", 400),
        (b"connection", None, 400),
        (b"sec-websocket-version", b"8", 426),
        (b"sec-websocket-version", None, 426),
        (b"sec-websocket-key", None, 400),
        (b"sec-websocket-key", b"", 400),
        (b"sec-websocket-key", b"c2hvcnQ=", 400),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ", 400),
        (b"sec-websocket-key", b"not base64 at all!!!!!!!", 400),
    ],
)
def test_a_malformed_handshake_is_refused(name: bytes, value: bytes | None, status: int) -> None:
    headers = {**SAMPLE, name: value} if value is not None else {k: v for k, v in SAMPLE.items() if k != name}
    with pytest.raises(UnreadableRequest) as refused:
        accept_key(headers)
    assert refused.value.status == status
