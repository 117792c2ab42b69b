"""Routes that take a form where others take JSON: a form is passed on as the JSON that it stands for.

Source: WHATWG URL, 5 "application/x-www-form-urlencoded".
"""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from callboard.errors import InvalidRequest, TooLarge
from callboard.serving.copied import Copied
from callboard.serving.visit import Handler, Visit

FORM = b"application/x-www-form-urlencoded"
MOST_FIELDS = 100


class _Translated(Copied):
    """The client's exchange with another body, whose answer is kept by nobody."""

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece of the answer."""
        await self._exchange.send(piece, more=more)


def forms(handle: Handler) -> Handler:
    """``handle``, which takes a form too: an object of its fields, each of which is a text."""

    async def either(visit: Visit) -> None:
        media = visit.exchange.header(b"content-type") or b""
        if media.partition(b";")[0].strip().lower() == FORM:
            body = _as_json(await _read(visit))
            visit = replace(visit, exchange=_Translated(visit.exchange, body, _keep_nothing))
        await handle(visit)

    return either


async def _read(visit: Visit) -> bytes:
    pieces: list[bytes] = []
    while piece := await visit.exchange.piece(visit.house.max_body_bytes):
        pieces.append(piece)
    return b"".join(pieces)


def _as_json(form: bytes) -> bytes:
    try:
        fields = parse_qsl(form.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form is not UTF-8.", code="invalid_value") from error
    except ValueError as error:
        raise TooLarge(f"The form has more than {MOST_FIELDS} fields.") from error
    return msgspec.json.encode(dict(fields))


async def _keep_nothing(_status: int, _media: str, _answer: bytes | None) -> None:
    """Nobody asks for the answer again."""
