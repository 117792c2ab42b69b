"""Sessions to a server that wants tokens of an authorization server elsewhere; both are the SDK's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.tools import ToolOutcome
from callboard.secret import Secret
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import Consent, Consented, Desk, ServerSettings
from callboard.tools.mcp.session import open_session
from callboard.tools.source import SourceUnavailable
from tests.fakes.consenting import Person
from tests.fakes.mcp_guard import CANARY, NOBODY, Guarded, guarded
from tests.fakes.mcp_servers import Heard, until

pytestmark = pytest.mark.anyio

ORIGIN = CallOrigin(request_id="req_1")
LOG_IN = "it wants a login: log in with `callboard tools login far`"


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"), "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Two are enough: the transport below is tested on all three."""
    return request.param


@pytest.fixture(scope="module")
def running() -> Iterator[Guarded]:
    with guarded() as server:
        yield server


@pytest.fixture
def server(running: Guarded) -> Guarded:
    running.tell("/_begin")
    return running


@pytest.fixture
def login(tmp_path: Path) -> Path:
    return tmp_path / "state" / "far.json"


def kept(login: Path) -> dict[str, Any]:
    """What is in the file."""
    found: dict[str, Any] = json.loads(login.read_bytes()) if login.exists() else {}
    return found


def put(login: Path, content: object) -> None:
    login.parent.mkdir(exist_ok=True)
    login.write_text(json.dumps(content))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def desk(consent: Consent | None = None) -> Desk:
    return replace(Heard().desk(), consent=consent)


def text(outcome: ToolOutcome) -> str:
    return "".join(block.text for block in outcome.content if isinstance(block, TextBlock))


async def header_at(settings: ServerSettings, consent: Consent | None = None) -> str:
    """What a session of its own sees."""
    async with open_session(settings, desk(consent)) as session:
        return text(await session.call("header", {}, ORIGIN))


async def refused(settings: ServerSettings, consent: Consent | None = None) -> str:
    """Why there is no session."""
    with pytest.raises(SourceUnavailable) as caught:
        async with open_session(settings, desk(consent)) as session:
            await session.tools()
    return str(caught.value)


async def test_a_login_is_kept_and_the_operators_headers_go_to_the_server_alone(
    server: Guarded, login: Path
) -> None:
    person, settings = Person(), server.settings(login)
    with anyio.fail_after(15):
        assert await header_at(settings, person) == "s3cret"
        assert mode(login) == 0o600
        assert mode(login.parent) == 0o700
        asked = len(server.seen())
        assert await header_at(settings) == "s3cret"
    assert len(person.sent_to) == 1
    assert person.scopes() == ["read"]
    seen = server.seen()
    assert {"/register", "/authorize", "/token"} <= {each["path"] for each in seen}
    assert len(seen) == asked
    assert "s3cret" not in json.dumps(seen)
    assert kept(login)["url"] == server.url


async def test_without_a_login_nobody_is_asked_for_anything(server: Guarded, login: Path) -> None:
    with anyio.fail_after(10):
        assert await refused(server.settings(login)) == LOG_IN
    assert server.seen() == []
    assert kept(login) == {}


async def test_an_authorization_server_has_to_be_named(server: Guarded, login: Path) -> None:
    person = Person()
    with anyio.fail_after(10):
        why = await refused(server.settings(login, issuers=(NOBODY,)), person)
    assert why == f"its authorization server is {server.issuer}/, which `issuers` does not name"
    assert (person.sent_to, server.seen()) == ([], [])


async def test_a_login_is_bound_to_the_url_and_to_the_issuer(server: Guarded, login: Path) -> None:
    settings = server.settings(login)
    with anyio.fail_after(15):
        await header_at(settings, Person())
        assert await refused(server.settings(login, issuers=(NOBODY,))) == LOG_IN
        assert await refused(server.settings(login, client_id="somebody else")) == LOG_IN
        found = kept(login)
        put(login, {**found, "url": "http://127.0.0.1:1/mcp"})
        assert await refused(settings) == LOG_IN


async def test_a_token_that_has_expired_is_renewed_and_the_new_one_kept(server: Guarded, login: Path) -> None:
    settings = server.settings(login)
    with anyio.fail_after(15):
        await header_at(settings, Person())
        before = kept(login)
        put(login, {**before, "expires_at": 1.0})
        assert await header_at(settings) == "s3cret"
    after = kept(login)
    assert after["tokens"]["access_token"] != before["tokens"]["access_token"]
    assert after["expires_at"] > before["expires_at"] - 600
    assert after["client"] == before["client"]
    assert server.paths()[-1] == "/token"
    assert mode(login) == 0o600


async def test_a_token_that_is_refused_is_renewed_in_the_middle_of_a_session(
    server: Guarded, login: Path
) -> None:
    person = Person()
    with anyio.fail_after(15):
        async with open_session(server.settings(login), desk(person)) as session:
            server.tell("/_forget")
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(session.call, "header", {}, ORIGIN)
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"
    assert len(person.sent_to) == 1
    assert server.paths().count("/token") == 2


async def test_what_cannot_be_renewed_needs_a_login_which_another_process_may_do(
    server: Guarded, login: Path
) -> None:
    settings = server.settings(login)
    with anyio.fail_after(20):
        await header_at(settings, Person())
        server.tell("/_forget?all")
        assert await refused(settings) == LOG_IN
        assert "tokens" not in kept(login)
        await header_at(server.settings(login, anew=True), Person())
        async with open_session(settings, desk()) as session:
            await session.call("header", {}, ORIGIN)
            server.tell("/_forget?all")
            await header_at(server.settings(login, anew=True), Person())
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"


@pytest.mark.parametrize("by", ["this", "another"])
async def test_an_old_token_that_is_refused_late_costs_no_second_renewal(
    server: Guarded, login: Path, by: str
) -> None:
    settings = server.settings(login)
    with anyio.fail_after(15):
        await header_at(settings, Person())
        async with open_session(settings, desk()) as session:
            await session.call("header", {}, ORIGIN)
            server.tell("/_forget" if by == "this" else "/_forget?all")
            said: list[str] = []

            async def call_late() -> None:
                said.append(text(await session.call("late", {}, ORIGIN)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call_late)
                await anyio.wait_all_tasks_blocked()
                if by == "this":
                    await session.call("header", {}, ORIGIN)
                else:
                    await header_at(server.settings(login, anew=True), Person())
                server.tell("/_go")
    assert said == ["late"]
    assert server.paths().count("/token") == 2


async def test_an_authorization_server_that_is_busy_costs_no_login(server: Guarded, login: Path) -> None:
    settings = server.settings(login)
    with anyio.fail_after(15):
        await header_at(settings, Person())
        found = kept(login)
        put(login, {**found, "expires_at": 1.0})
        server.tell("/_mood?busy")
        why = f"its token could not be renewed ({server.issuer}/token answered 503)"
        assert await refused(settings) == why
        server.tell("/_mood?well")
        assert await header_at(settings) == "s3cret"


async def test_a_call_that_is_cancelled_while_its_token_is_renewed_loses_no_login(
    server: Guarded, login: Path
) -> None:
    settings = server.settings(login)
    with anyio.fail_after(15):
        async with open_session(settings, desk(Person())) as session:
            before = kept(login)["tokens"]["refresh_token"]
            server.tell("/_forget")
            server.tell("/_mood?slow")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.call, "header", {}, ORIGIN)
                await until(lambda: server.paths().count("/token") == 2)
                tasks.cancel_scope.cancel()
                server.tell("/_mood?well")
            await until(lambda: kept(login)["tokens"]["refresh_token"] != before)
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"
    assert server.paths().count("/token") == 2


async def test_a_call_that_hangs_keeps_no_other_waiting(server: Guarded, login: Path) -> None:
    with anyio.fail_after(15):
        settings = server.settings(login)
        async with open_session(settings, desk(Person())) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(session.call, "hang", {}, ORIGIN)
            await anyio.wait_all_tasks_blocked()
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"
            tasks.cancel_scope.cancel()


async def test_a_call_that_wants_more_fails_alone_and_says_what_to_do(server: Guarded, login: Path) -> None:
    heard, settings = Heard(), server.settings(login)
    with anyio.fail_after(15):
        await header_at(settings, Person())
        async with open_session(settings, heard.desk()) as session:
            outcome = await session.call("write", {}, ORIGIN)
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"
    what = "it wants a login with the scope 'read write'"
    advice = f"{what}: log in with `callboard tools login far --scope 'read write'`"
    assert outcome.is_error
    assert text(outcome) == f"Tool 'write' failed with error: {advice}"
    assert [each.text for each in heard.said] == [advice]


async def test_with_somebody_there_it_is_consented_to(server: Guarded, login: Path) -> None:
    person = Person()
    with anyio.fail_after(15):
        async with open_session(server.settings(login, scope="read write"), desk(person)) as session:
            assert text(await session.call("write", {}, ORIGIN)) == "written"
    assert person.scopes() == ["read write"]


async def test_a_client_of_its_own_right_needs_nobody_and_keeps_nothing(
    server: Guarded, tmp_path: Path
) -> None:
    secret = Secret("machine's secret")
    settings = server.settings(None, grant="client_credentials", client_id="machine", client_secret=secret)
    with anyio.fail_after(15):
        async with open_session(settings, desk()) as session:
            server.tell("/_forget")
            assert text(await session.call("header", {}, ORIGIN)) == "s3cret"
    assert server.paths().count("/token") == 2


async def test_a_secret_for_one_authorization_server_is_not_sent_to_another(
    server: Guarded, login: Path
) -> None:
    secret = Secret("not for you")
    settings = server.settings(
        None,
        grant="client_credentials",
        client_id="machine",
        client_secret=secret,
        issuers=(NOBODY, server.issuer),
    )
    with anyio.fail_after(10):
        assert "metadata issuer mismatch" in await refused(settings)
    assert "/token" not in server.paths()


async def test_nothing_secret_is_said_or_logged(
    server: Guarded, login: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.tell("/_mood?leaky")
    with anyio.fail_after(10), caplog.at_level(logging.DEBUG, "mcp"):
        why = await refused(server.settings(login), Person())
    assert why == f"its authorization server gives no token ({server.issuer}/token answered 200)"
    assert CANARY not in caplog.text
    assert "OAuth flow error" not in caplog.text


async def test_a_damaged_file_is_said_to_be_one_and_does_not_keep_from_logging_in(
    server: Guarded, login: Path
) -> None:
    put(login, "damaged")
    with anyio.fail_after(15):
        why = await refused(server.settings(login))
        assert why == f"{login} cannot be read (it is damaged): log in with `callboard tools login far`"
        assert await header_at(server.settings(login, anew=True), Person()) == "s3cret"
        assert await header_at(server.settings(login)) == "s3cret"


async def test_somebody_who_comes_back_with_another_state_was_not_sent(server: Guarded, login: Path) -> None:
    person = Person()

    async def confused(url: str) -> Consented:
        return replace(await person(url), state="another")

    with anyio.fail_after(10):
        assert await refused(server.settings(login), confused) == "somebody came back who was not sent"
    assert "/token" not in server.paths()
