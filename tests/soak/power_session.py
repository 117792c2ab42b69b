"""Clients of a server whose power may fail at any moment, and what its disk must hold then."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import apsw
import httpx2
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

from callboard.errors import CallboardError
from callboard.store.sqlite.engine import Place, connect_writer
from callboard.store.sqlite.schema import migrate
from tests.fakes.relayed import RawAnswer, raw_answers
from tests.soak.kill_session import CONFIG
from tests.soak.kill_upstream import modelled
from tests.soak.power_serve import Told, read_trace
from tests.soak.process import ROOT, START_S, STOP_S
from tests.store.file_systems import Ack, Event
from tests.store.power_loss import Disk, Recording, disks

CLIENTS = 8
LIVE = ("queued", "in_progress")
COMPLETED = b"event: response.completed\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Kept(Struct, frozen=True):
    """All that a store holds of one response, as rows."""

    response: tuple[object, ...]
    status: str
    input: tuple[object, ...]
    segments: tuple[tuple[object, ...], ...]

    def begins(self, other: Kept) -> bool:
        """Whether this live response is a beginning of ``other``, which has come to its end."""
        known = other.segments[: len(self.segments)]
        return self.status in LIVE and self.input == other.input and self.segments == known


class Session(Struct, frozen=True):
    """What was recorded.

    Attributes:
        recording: What reached the disk; its acknowledgements count the responses that clients know of.
        told: Their ids, in the order in which the clients were told their ends.
        kept: What the store held in the end, by id.
    """

    recording: Recording
    told: tuple[str, ...]
    kept: dict[str, Kept]

    def disks(self, seed: int, share: float) -> Iterator[Disk]:
        """What disks may hold when the power fails."""
        return disks(self.recording, seed, share)


async def session(folder: Path, *, turns: int, mutant: str = "none") -> Session:
    """Have clients make turns, look whether what is stored is what they were told, and stop the server."""
    known: list[RawAnswer] = []
    async with modelled() as (model, port):
        file = folder / "callboard.toml"
        file.write_text(CONFIG.format(folder=folder, port=port))
        async with traced(folder, file, mutant) as url, anyio.create_task_group() as tasks:
            for client in range(CLIENTS):
                tasks.start_soon(_client, url, client, turns, mutant == "none")
        assert model.faults == []
    trace = read_trace((folder / "trace").read_bytes())
    log, told = acknowledged(trace, known)
    for answer in known:
        assert answer.status == 200, answer
    connection = connect_writer(Place(path=folder / "state.db"))
    try:
        return Session(Recording(tuple(log), ()), tuple(told), held(connection))
    finally:
        connection.close()


@asynccontextmanager
async def traced(folder: Path, file: Path, mutant: str) -> AsyncIterator[str]:
    """The server as a process, until it has stopped in order; its address."""
    command = (
        *(sys.executable, "-m", "tests.soak.power_serve", "--trace", str(folder / "trace")),
        *("--mutant", mutant, str(file)),
    )
    with (folder / "stderr").open("ab") as errors:
        process = await anyio.open_process(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
    async with process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(START_S):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"/ ", 500)
            yield f"http://127.0.0.1:{line.decode().rpartition(':')[2]}"
            process.terminate()
            with anyio.fail_after(STOP_S):
                assert await process.wait() == 0, (folder / "stderr").read_text()
        finally:
            if process.returncode is None:
                process.kill()


async def _client(url: str, client: int, turns: int, follows: bool) -> None:
    """Plain turns and such with tools, streamed and not, each on the one before it."""
    previous: str | None = None
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        for turn in range(turns):
            stream = (client + turn) % 2 == 0
            text = f"key{client}.{turn}" if (client + turn) % 4 < 2 else f"plain {client}.{turn}"
            body: dict[str, object] = {"model": "demo-model", "input": text, "stream": stream}
            if follows and previous is not None:
                body["previous_response_id"] = previous
            answer = await http.post("/v1/responses", json=body)
            assert answer.status_code == 200, answer.text
            response = response_in(answer.content, streamed=stream)
            assert response["status"] == "completed", response
            assert response["usage"], response
            previous = str(response["id"])
            if follows:
                again = await http.get(f"/v1/responses/{previous}" + "?stream=true" * stream)
                assert again.content == answer.content


def response_in(body: bytes, *, streamed: bool) -> dict[str, object]:
    """The Response object in an answer."""
    text = body.split(COMPLETED)[1].split(b"data: ")[1].split(b"\n")[0] if streamed else body
    document = json.loads(text)
    response = document["response"] if streamed else document
    assert isinstance(response, dict)
    return response


def acknowledged(trace: list[Event | Told], known: list[RawAnswer]) -> tuple[list[Event], list[str]]:
    """The trace with an acknowledgement in the place of each write that let a client know of an end.

    That is the first byte behind which the whole Response object stands: the end of the stream's last event,
    or of the document. Every answer is added to ``known``.
    """
    log: list[Event] = [Ack(0)]
    told: list[str] = []
    answers: dict[int, bytes] = {}
    for event in trace:
        if not isinstance(event, Told):
            log.append(event)
            continue
        came = answers.get(event.client, b"") + event.data
        for response_id in ends_in(came):
            if response_id not in told:
                told.append(response_id)
                log.append(Ack(len(told)))
        while end := _length_of_first(came):
            known += raw_answers(came[:end])
            came = came[end:]
        answers[event.client] = came
    assert not any(answers.values()), answers
    return log, told


def ends_in(came: bytes) -> Iterator[str]:
    """Ids of the responses whose ends are told in the answers that ``came`` on one connection."""
    _, completed, rest = came.partition(COMPLETED)
    if completed and b"\n\n" in rest:
        yield str(response_in(COMPLETED + rest, streamed=True)["id"])
    end = _length_of_first(came)
    if end and not completed:
        [answer] = raw_answers(came[:end])
        yield str(json.loads(answer.body)["id"])


def _length_of_first(came: bytes) -> int:
    """Bytes of the first answer in ``came``; 0 where it is not whole."""
    head, end, rest = came.partition(b"\r\n\r\n")
    if not end:
        return 0
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        last = rest.find(LAST_CHUNK)
        return 0 if last < 0 else len(head) + 4 + last + len(LAST_CHUNK)
    length = int(fields.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return len(head) + 4 + length if len(rest) >= length else 0


def held(connection: apsw.Connection) -> dict[str, Kept]:
    """All responses of a store."""
    rows = connection.execute("SELECT id, status, seq, * FROM responses").fetchall()
    return {
        str(name): Kept(
            tuple(row),
            str(status),
            tuple(connection.execute("SELECT * FROM inputs WHERE response = ?", (number,)).fetchall()),
            tuple(
                connection.execute(
                    "SELECT first, count, payload FROM segments WHERE response = ? ORDER BY first", (number,)
                ).fetchall()
            ),
        )
        for name, status, number, *row in rows
    }


def fault_of(disk: Disk, found: Session, directory: Path) -> str | None:
    """What is wrong with the store on ``disk``; None if nothing."""
    for left in directory.iterdir():
        left.unlink()
    for name, image in disk.files.items():
        (directory / name).write_bytes(image)
    try:
        connection = connect_writer(Place(path=directory / "state.db"))
        try:
            connection.pragma("synchronous", "OFF")  # nobody needs this disk any more
            migrate(connection)
            problems = connection.execute("PRAGMA integrity_check").fetchall()
            if problems != [("ok",)] or connection.execute("PRAGMA foreign_key_check").fetchall():
                return f"is not sound: {problems}"
            there = held(connection)
        finally:
            connection.close()
    except (apsw.Error, CallboardError) as error:
        return f"cannot be used: {error}"
    for name in found.told[: max(disk.acknowledged, 0)]:
        if there.get(name) != found.kept[name]:
            return f"{name} was told to its client, and is not there as it was told"
    torn = [name for name, kept in there.items() if not whole(kept, found.kept.get(name))]
    return f"{torn} are there in part" if torn else None


def whole(kept: Kept, final: Kept | None) -> bool:
    """Whether it is all there, or all that there was at some moment of its life."""
    return final is not None and (kept == final or kept.begins(final))
