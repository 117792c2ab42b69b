"""The opening handshake of a WebSocket, the server's side. Pure.

No extension and no subprotocol is ever agreed to. Compression is left out on purpose: its memory is the
client's to choose, and secrets that are compressed together with what somebody else wrote can be guessed.

Source: RFC 6455, 4.2.1 (what the client must send), 4.2.2 (the answer), 4.4 (versions).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from callboard.errors import UnreadableRequest

VERSION = b"13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(headers: Mapping[bytes, bytes]) -> bytes:
    """The value of ``Sec-WebSocket-Accept`` that answers a handshake.

    Args:
        headers: Of a GET request in HTTP/1.1 whose ``Upgrade`` names ``websocket``.

    Raises:
        UnreadableRequest: The client speaks another version of the protocol (status 426), or a field is
            missing or malformed.
    """
    if not _has_token(headers.get(b"connection", b""), b"upgrade"):
        raise UnreadableRequest("The handshake of a WebSocket needs 'Connection: Upgrade'.")
    if headers.get(b"sec-websocket-version") != VERSION:
        raise UnreadableRequest("This server speaks version 13 of the WebSocket protocol.", 426)
    key = headers.get(b"sec-websocket-key", b"")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise UnreadableRequest("Sec-WebSocket-Key has to be 16 bytes in base64.")
    # SHA-1 proves that we have read the handshake, nothing else.
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _has_token(field: bytes, wanted: bytes) -> bool:
    return any(token.strip().lower() == wanted for token in field.split(b","))
