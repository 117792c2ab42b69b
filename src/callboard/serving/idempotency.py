"""A request with an ``Idempotency-Key`` is carried out once: sent again, it is answered as it was answered.

The key is taken before anything is done, and what was answered is kept before its last byte is sent, so that
whoever has the answer gets it again. It is kept for as long as replies are (a day), for each client apart.

- Another request under the same key is refused (422), and the same one while it is under way (409 with
  ``Retry-After``).
- Only what succeeded is kept. A request that was refused, or failed, or whose client left, frees its key:
  sent again, it is tried again. A response in the background goes on without its client, and keeps it.
- An answer is kept as the bytes that were sent, up to 1 MiB; the signs of life within a stream are not among
  them. The stream of a stored response is read from its log instead, and so is a larger one. Where a larger
  answer was not stored, the key says only that there was one (409): carrying the request out again is what
  the client has asked us not to do.
- A key whose process died with it is free after a quarter of an hour.

Source: draft-ietf-httpapi-idempotency-key-header-07, 2.6 and 2.7; OpenAI's own clients send the header where
they are told to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from contextlib import suppress

import anyio
from msgspec.structs import replace

from callboard.actors.archivist import Commit
from callboard.errors import (
    AlreadyExists,
    CallboardError,
    Conflict,
    InvalidRequest,
    KeyReused,
    NotFound,
    StillUnderWay,
)
from callboard.serving.copied import Copied
from callboard.serving.events import STREAM_HEADERS
from callboard.serving.responses.stored import follow, response_object
from callboard.serving.visit import Handler, Visit
from callboard.store.changes import Change, FinishReply, ForgetReply, RememberReply
from callboard.store.records import StoredReply

HEADER = b"idempotency-key"
LONGEST_KEY = 255
ABANDONED_S = 900
LAST_WRITE_S = 5.0
"""Time for the store to free the key of a request that came to nothing."""

STREAM = "text/event-stream"


def idempotent(handle: Handler) -> Handler:
    """``handle``, which carries out a request with an Idempotency-Key once."""

    def once(visit: Visit) -> Awaitable[None]:
        key = visit.exchange.headers.get(HEADER)
        return handle(visit) if key is None else _once(visit, key, handle)

    return once


def pledge(visit: Visit, response_id: str, *, streamed: bool) -> tuple[Change, ...]:
    """What is committed together with a response that goes on without its client: it answers the key."""
    if not visit.idempotency_key:
        return ()
    return (
        FinishReply(
            tenant=visit.principal.tenant,
            key=visit.idempotency_key,
            response_id=response_id,
            status=200,
            content_type=STREAM if streamed else "",
            body=b"",
        ),
    )


async def _once(visit: Visit, given: bytes, handle: Handler) -> None:
    key = _checked(given)
    body = await visit.exchange.body(visit.house.max_body_bytes)
    asked = f"{visit.exchange.method} {visit.exchange.path}\n".encode()
    before = await _take(visit, key, hashlib.sha256(asked + body).digest())
    if before is not None:
        await _again(visit, before)
        return

    async def keep(status: int, media: str, answer: bytes | None) -> None:
        if 200 <= status < 300:
            await _keep(visit, key, status, media, answer)

    copied = Copied(visit.exchange, body, keep)
    try:
        await handle(replace(visit, exchange=copied, idempotency_key=key))
    except BaseException:
        with anyio.move_on_after(LAST_WRITE_S, shield=True):
            await _free(visit, key)
        raise
    await _free(visit, key)  # where the answer was none to keep


async def _take(visit: Visit, key: str, digest: bytes) -> StoredReply | None:
    """Take the key; where it is taken, how the request was answered that took it.

    Raises:
        KeyReused: It was another request.
        StillUnderWay: It has no answer yet.
    """
    tenant = visit.principal.tenant
    now_s = int(visit.house.now_s())
    take = RememberReply(reply=StoredReply(tenant=tenant, key=key, request_hash=digest, created_at_s=now_s))
    changes: tuple[Change, ...] = (take,)
    while True:
        try:
            await _commit(visit, *changes)
        except AlreadyExists:
            before = await visit.house.store.reply(tenant, key)
        else:
            return None
        if before is None:
            continue
        if before.request_hash != digest:
            raise KeyReused(
                "This Idempotency-Key came with another request before.", code="idempotency_key_reused"
            )
        if before.status is not None:
            return before
        if now_s - before.created_at_s < ABANDONED_S:
            raise StillUnderWay("The request with this Idempotency-Key is still under way.")
        changes = (ForgetReply(tenant=tenant, key=key), take)


async def _again(visit: Visit, reply: StoredReply) -> None:
    """Answer as before."""
    streamed = reply.content_type.startswith(STREAM)
    if reply.body:
        headers = STREAM_HEADERS[1:] if streamed else ()
        media = reply.content_type.encode()
        await visit.exchange.respond(reply.status or 200, reply.body, media=media, headers=headers)
        return
    if reply.response_id is None:
        raise Conflict("This request was carried out; its answer was too large to be kept.")
    record = await visit.house.store.response(visit.principal.tenant, reply.response_id)
    if record is None:
        raise NotFound("The response that this Idempotency-Key was answered with is gone.")
    if streamed:
        await follow(visit, record, starting_after=-1)
    else:
        await visit.exchange.respond(200, await response_object(visit, record))


async def _keep(visit: Visit, key: str, status: int, media: str, answer: bytes | None) -> None:
    tenant, response_id = visit.principal.tenant, visit.meter.response_id
    stored = response_id is not None and await visit.house.store.response(tenant, response_id) is not None
    by_log = stored and (answer is None or media.startswith(STREAM))
    change = FinishReply(
        tenant=tenant,
        key=key,
        response_id=response_id if stored else None,
        status=status,
        content_type=media,
        body=b"" if answer is None or by_log else answer,
    )
    with suppress(NotFound):  # the response was deleted as soon as it was there, and its key with it
        await _commit(visit, change)


async def _free(visit: Visit, key: str) -> None:
    """Give the key back, unless it has its answer already."""
    with suppress(CallboardError):  # then it is free in a quarter of an hour
        reply = await visit.house.store.reply(visit.principal.tenant, key)
        if reply is not None and reply.status is None:
            await _commit(visit, ForgetReply(tenant=visit.principal.tenant, key=key))


async def _commit(visit: Visit, *changes: Change) -> None:
    await visit.house.archivist.ask(Commit(changes=changes))


def _checked(key: bytes) -> str:
    text = key.decode("latin-1")
    if not (0 < len(text) <= LONGEST_KEY and text.isascii() and text.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters.", code="invalid_value"
        )
    return text
