"""Who is let in: every route, every kind of caller, and what a key is for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

import callboard
from callboard.domain.client_key import ClientKey
from callboard.domain.principal import LOCAL
from callboard.errors import PermissionDenied, StoreUnavailable
from callboard.providers.script import Reply, Script, Text, Tool
from callboard.runtime import Runtime
from callboard.serving.asgi.exchange import AsgiExchange
from callboard.serving.assembly import build_app
from callboard.serving.auth import ANYBODY, REMEMBERED_CREDENTIALS, Doorkeeper
from callboard.serving.key_desk import KeyDesk, KeyOrder
from callboard.serving.routes import ROUTES
from callboard.store import InMemoryStore
from callboard.store.key_register import KeyRegister
from tests.fakes.company import Stage, company, replies
from tests.fakes.keyed import bearer, desk_of, expired_key, make_key, revoked_key
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

PUBLIC = {"/", "/health", "/ready"}
PLACES = [
    (route.method, route.path.format(response_id="resp_1", conversation_id="conv_1", item_id="msg_1"))
    for route in ROUTES
]
ELSEWHERE = [
    ("GET", "/nothing"),
    ("POST", "/health"),
    ("DELETE", "/v1/models"),
    ("GET", "/v1/files"),
    ("GET", "//v1/models"),
    ("GET", "/v1/models/"),
    ("GET", "/V1/models"),
    ("GET", "/v1/./models"),
    ("GET", "/v1/%6dodels"),
    ("GET", "/health/../v1/models"),
    ("GET", "/health%2f..%2fv1%2fmodels"),
    ("GET", "/health;/v1/models"),
]
ASKED = {"model": "demo-model", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@callboard.tool
def wipe() -> str:
    """Wipe everything."""
    return "wiped"


@asynccontextmanager
async def mounted(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application itself, whose headers no server has limited."""
    transport = httpx2.ASGITransport(build_app(runtime))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def impostors(runtime: Runtime) -> dict[str, Mapping[str, str]]:
    """Headers of callers that must not get in."""
    token, _ = await make_key(runtime)
    other = "0" if token[-1] != "0" else "1"
    return {
        "none": {},
        "empty": {"authorization": ""},
        "no token": {"authorization": "Bearer"},
        "blank": {"authorization": "Bearer "},
        "wrong secret": bearer(token[:-1] + other),
        "wrong id": bearer(f"cb_{'0' * 10}_{token[-32:]}"),
        "no scheme": {"authorization": token},
        "basic": {"authorization": f"Basic {token}"},
        "twice": bearer(f"{token} {token}"),
        "key with scheme": {"x-api-key": f"Bearer {token}"},
        "junk": bearer("\x80\xff,;=%00"),
        "sql": bearer("cb_' OR '1'='1'; DROP TABLE keys;--_x"),
        "sql in the shape of a key": {"x-api-key": "cb_0' or '1_" + "a" * 32},
        "64 KiB": bearer("cb_" + "a" * 65_536),
        "64 KiB of x-api-key": {"x-api-key": "a" * 65_536},
        "expired": bearer(await expired_key(runtime)),
        "revoked": bearer(await revoked_key(runtime)),
        "cookie": {"cookie": f"key={token}; authorization={token}"},
        "query": {"x-original-url": f"/health?api_key={token}"},
    }


def test_only_these_routes_are_everybodys() -> None:
    assert {route.path for route in ROUTES if route.scope is None} == PUBLIC


async def test_no_route_lets_in_whoever_has_no_valid_key() -> None:
    stage = Stage(demo=Script())
    with anyio.fail_after(20):
        async with company(stage) as runtime, mounted(runtime) as client:
            callers = await impostors(runtime)
            bodies = set()
            for name, headers in callers.items():
                for method, path in (*PLACES, *ELSEWHERE):
                    sent = {k.encode(): v.encode("latin-1") for k, v in headers.items()}
                    sent[b"x-request-id"] = b"r"
                    got = await client.request(method, path, headers=list(sent.items()), json=ASKED)
                    if path in PUBLIC and method == "GET":
                        assert got.status_code == 200, (name, path)
                        continue
                    assert got.status_code == 401, (name, method, path)
                    assert got.headers["www-authenticate"] == "Bearer"
                    assert got.json()["error"]["code"] == "invalid_api_key"
                    bodies.add(got.content)
    assert len(bodies) == 2, "why a key is not let in is not said"
    assert not stage.handlers["demo"].calls


async def test_our_own_server_refuses_a_token_of_64_kib_before_the_application_sees_it() -> None:
    async with served(Stage(demo=Script())) as server:
        await make_key(server.runtime)
        got = await server.client.get("/v1/models", headers=bearer("a" * 65_536))
    assert got.status_code == 431


async def test_a_key_for_something_else_is_refused_everywhere() -> None:
    with anyio.fail_after(10):
        async with company(Stage(demo=Script())) as runtime, mounted(runtime) as client:
            order = KeyOrder(name="eyes", scopes=frozenset({"monitor", "admin"}))
            token, _ = await make_key(runtime, order)
            for again in range(2):  # the second time from what is remembered
                for method, path in PLACES:
                    got = await client.request(method, path, headers=bearer(token), json=ASKED)
                    expected = 200 if path in PUBLIC else 403
                    assert got.status_code == expected, (again, method, path)


async def test_a_key_opens_by_either_header_streamed_and_not() -> None:
    async with served(Stage(demo=Script())) as server:
        token, key = await make_key(server.runtime)
        other, _ = await make_key(server.runtime)
        for headers in (
            bearer(token),
            {"x-api-key": token},
            {"authorization": f"bEARER  {token}"},
            {"authorization": "Basic dTpw", "x-api-key": token},
            {**bearer(token), "x-api-key": "for somebody else"},
        ):
            for stream in (False, True):
                got = await server.client.post(
                    "/v1/responses", json={**ASKED, "stream": stream}, headers=headers
                )
                assert got.status_code == 200, headers
        assert (await server.client.get("/v1/nothing", headers=bearer(token))).status_code == 404
        assert (await server.client.delete("/v1/models", headers=bearer(token))).status_code == 405
        accounts = await server.runtime.accounts()
    assert set(accounts.by_key) == {key.id}
    assert other != token


async def test_loopback_is_open_until_the_first_key_is_made_and_never_again() -> None:
    async with served(Stage(demo=Script())) as server:
        for headers in ({}, bearer("unused"), {"x-api-key": "sk-anything"}, bearer("x" * 1000)):
            for _ in range(2):
                assert (await server.client.get("/v1/models", headers=headers)).status_code == 200
        token, key = await make_key(server.runtime)
        # Whoever shows it makes it known at once; others may be let in until somebody looks.
        assert (await server.client.get("/v1/models", headers=bearer(token))).status_code == 200
        for headers in ({}, bearer("unused"), {"x-api-key": "sk-anything"}):
            assert (await server.client.get("/v1/models", headers=headers)).status_code == 401
        await desk_of(server.runtime).revoke(key.id)
        await server.runtime.wiring.keys.refresh()
        for headers in ({}, bearer(token)):
            assert (await server.client.get("/v1/models", headers=headers)).status_code == 401


async def test_a_running_server_notices_that_a_key_was_revoked() -> None:
    with anyio.fail_after(5):
        async with served(Stage(demo=Script())) as server:
            token, key = await make_key(server.runtime)
            assert (await server.client.get("/v1/models", headers=bearer(token))).status_code == 200
            await desk_of(server.runtime).revoke(key.id)
            while (await server.client.get("/v1/models", headers=bearer(token))).status_code == 200:
                await anyio.lowlevel.checkpoint()


async def test_an_expired_key_is_not_remembered() -> None:
    now_s = [1_000.0]
    async with company(Stage(demo=Script())) as runtime, mounted(runtime) as client:
        runtime.wiring.keys.now_s = lambda: now_s[0]
        secret, key = await desk_of(runtime, 1_000.0).create(KeyOrder(name="brief", days=1))
        assert key.expires_at_s == 87_400
        statuses = []
        for at_s in (1_000.0, 87_399.9, 87_400.0, 90_000.0):
            now_s[0] = at_s
            got = await client.get("/v1/models", headers=bearer(secret.reveal()))
            statuses.append(got.status_code)
    assert statuses == [200, 200, 401, 401]


class Down(InMemoryStore):
    """Cannot be read."""

    async def keys(self, after: int = 0) -> list[ClientKey]:
        raise StoreUnavailable("down")


def asking(**headers: str) -> AsgiExchange:
    """A request as the door sees it."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        del event

    fields = {"host": "localhost", **headers}
    return AsgiExchange(
        {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/v1/models",
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()],
        },
        receive,
        send,
    )


async def test_before_the_keys_were_read_nobody_is_let_in() -> None:
    door = Doorkeeper(frozenset(), KeyRegister(Down(), time.time))
    assert door.admit(asking(), None) is ANYBODY
    assert door.admit(asking(), "client") is None
    with pytest.raises(StoreUnavailable):
        await door.identify(asking(), "client")


async def test_whoever_was_let_in_is_known_again_without_being_looked_up() -> None:
    store = InMemoryStore()
    secret, key = await KeyDesk(store, time.time).create(KeyOrder(name="k"))
    keys = KeyRegister(store, time.time)
    door = Doorkeeper(frozenset(), keys)
    shown = asking(x_api_key=secret.reveal())
    assert door.admit(shown, "client") is None
    principal = await door.identify(shown, "client")
    assert door.admit(shown, "client") is principal
    assert (principal.key_id, principal.tenant) == (key.id, key.id)
    with pytest.raises(PermissionDenied, match="scope 'admin'"):
        door.admit(shown, "admin")
    await KeyDesk(store, time.time).create(KeyOrder(name="another"))
    await keys.refresh()
    assert door.admit(shown, "client") is None, "what is remembered is from before a change"


async def test_what_is_remembered_of_credentials_is_bounded() -> None:
    door = Doorkeeper(frozenset(), KeyRegister(InMemoryStore(), time.time))
    long = asking(x_api_key="k" * 10_000)
    assert await door.identify(long, "client") is LOCAL
    assert door.admit(long, "client") is None
    first = asking(x_api_key="0")
    for number in range(REMEMBERED_CREDENTIALS):
        await door.identify(asking(x_api_key=str(number)), "client")
    assert door.admit(first, "client") is LOCAL
    await door.identify(asking(x_api_key="one more"), "client")
    assert door.admit(first, "client") is None


async def test_a_key_sees_and_asks_for_its_own_models_only() -> None:
    stage = Stage(demo=Script(), other=Script(), third=Script())
    async with served(stage) as server:
        token, _ = await make_key(server.runtime, KeyOrder(name="k", models=("demo-*", "third-model")))
        client, headers = server.client, bearer(token)
        listed = (await client.get("/v1/models", headers=headers)).json()["data"]
        assert [each["id"] for each in listed] == ["demo-model", "third-model", "auto"]
        refused = []
        for model in ("other-model", "nowhere-model"):
            for path, more in (
                ("/v1/chat/completions", {}),
                ("/v1/chat/completions", {"stream": True}),
                ("/v1/responses", {}),
                ("/v1/responses", {"background": True}),
            ):
                got = await client.post(path, json={**ASKED, "model": model, **more}, headers=headers)
                assert got.status_code == 404, (model, path, more)
                refused.append(got.json()["error"]["message"].replace(model, "M"))
        got = await client.post("/v1/chat/completions", json=ASKED, headers=headers)
        assert got.status_code == 200
    assert len(set(refused)) == 1
    assert not stage.handlers["other"].calls


async def test_a_key_for_some_models_cannot_go_round_them_by_the_generic_proxy() -> None:
    away = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    config = {
        "providers": {"demo": {"kind": "scripted"}, "away": away},
        "proxy": {"enabled": True, "upstream": "away", "allow": ["POST /v1/embeddings"]},
    }
    statuses = []
    async with served(Stage(demo=Script()), config=config) as server:
        free, _ = await make_key(server.runtime)
        bound, _ = await make_key(server.runtime, KeyOrder(name="k", models=("*",)))
        await server.runtime.wiring.keys.refresh()
        for headers in ({}, bearer("x"), bearer(bound), bearer(free)):
            got = await server.client.post("/v1/embeddings", json={"model": "m"}, headers=headers)
            statuses.append(got.status_code)
    assert statuses == [401, 401, 403, 502]


async def test_a_key_is_offered_its_own_tools_only_and_no_other_one_runs() -> None:
    steps = [Tool(name="wipe", id="c1"), Tool(name="add", id="c2", arguments={"a": 1, "b": 2})]
    stage = Stage(demo=replies(steps, [Text(text="done")]))
    async with served(stage, tools=[add, wipe]) as server:
        token, _ = await make_key(server.runtime, KeyOrder(name="k", tools=("add",)))
        got = await server.client.post("/v1/chat/completions", json=ASKED, headers=bearer(token))
    assert got.status_code == 200
    first, second = (call.request for call in stage.handlers["demo"].calls)
    assert [tool.name for tool in first.tools] == ["add"]
    told = str(second.messages[-1])
    assert "There is no tool named 'wipe'. The available tools are: add." in told
    assert "wiped" not in told
    assert "3" in told


async def test_no_line_of_the_log_and_no_answer_holds_any_of_a_key() -> None:
    stage = Stage(demo=Script(replies=(Reply(steps=(Text(text="hello"),)),), then="repeat"))
    said: list[str] = []
    async with served(stage) as server:
        token, key = await make_key(server.runtime)
        secret = token.rpartition("_")[2]
        almost = token[:-1] + ("0" if token[-1] != "0" else "1")
        for each in (token, almost, f"cb_{'z' * 10}_{secret}", secret):
            for headers in (bearer(each), {"x-api-key": each}, {**bearer(each), "host": each}):
                for method, path in (("GET", "/v1/models"), ("POST", "/v1/responses"), ("GET", f"/{each}")):
                    got = await server.client.request(method, path, json=ASKED, headers=headers)
                    said.append(got.text.replace(f"/{each}", "") + str(got.headers))
    lines = "\n".join(stage.lines())
    assert lines.count("request closed") == 4 * 3 * 3
    assert f"key_id={key.id}" in lines
    for canary in (secret, secret[:8], secret[8:16], secret[-9:-1]):
        assert canary not in lines
        assert not [each for each in said if canary in each]
