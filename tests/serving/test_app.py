"""The small routes, and what holds for every route."""

from __future__ import annotations

import httpx2
import pytest

from callboard.errors import ConfigurationError
from callboard.providers.script import Script
from callboard.serving.assembly import build_app
from callboard.serving.auth import check_listen_address
from tests.fakes.company import Stage, company
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "path, body",
    [
        ("/", b'{"message":"Callboard is running."}'),
        ("/health", b'{"status":"ok","adapter":"running"}'),
        ("/ready", b'{"status":"ready"}'),
    ],
)
async def test_exact_bodies(path: str, body: bytes) -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.get(path)
    assert (answer.status_code, answer.content) == (200, body)


async def test_the_models_are_listed_in_the_operators_order() -> None:
    async with served(Stage(demo=Script(), other=Script())) as server:
        answer = (await server.client.get("/v1/models")).json()
    assert answer["object"] == "list"
    assert [(each["id"], each["owned_by"]) for each in answer["data"]] == [
        ("demo-model", "demo"),
        ("other-model", "other"),
        ("auto", "callboard"),
    ]


async def test_head_is_get_without_a_body() -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "35"


@pytest.mark.parametrize(
    "method, path, status",
    [("GET", "/nothing", 404), ("DELETE", "/health", 405), ("GET", "/v1/chat/completions", 405)],
)
async def test_what_is_not_there_is_said_in_json(method: str, path: str, status: int) -> None:
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 421),
        ({"content-type": "text/plain"}, 415),
        ({"content-encoding": "gzip"}, 415),
    ],
)
async def test_pages_of_other_origins_cannot_spend(headers: dict[str, str], status: int) -> None:
    body = b'{"model": "demo-model", "messages": [{"role": "user", "content": "hi"}]}'
    every = {"content-type": "application/json", **headers}
    async with served(Stage(demo=Script())) as server:
        answer = await server.client.post("/v1/chat/completions", content=body, headers=every)
    assert answer.status_code == status


async def test_the_application_works_where_another_one_mounts_it() -> None:
    stage = Stage(demo=Script())
    async with company(stage) as runtime:
        transport = httpx2.ASGITransport(build_app(runtime), root_path="/assistant")
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/assistant/v1/models")
            missing = await client.get("/elsewhere")
    assert answer.json()["data"][0]["id"] == "demo-model"
    assert missing.status_code == 404


async def test_a_request_id_comes_back_and_is_made_where_it_is_missing_or_unfit() -> None:
    async with served(Stage(demo=Script())) as server:
        given = await server.client.get("/health", headers={"x-request-id": "abc-123"})
        made = await server.client.get("/health")
        unfit = await server.client.get("/health", headers={"x-request-id": "a b=\tc"})
    assert given.headers["x-request-id"] == "abc-123"
    assert made.headers["x-request-id"].startswith("req_")
    assert unfit.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "::"])
def test_the_network_is_refused_without_keys(host: str) -> None:
    with pytest.raises(ConfigurationError, match="refusing to listen"):
        check_listen_address(host, insecure=False)
    check_listen_address(host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_no_key(host: str) -> None:
    check_listen_address(host, insecure=False)
