"""What comes from a server: long lists are made short before they cost anything, and what it asks is seen."""

from __future__ import annotations

import json

import pytest
from mcp_types import jsonrpc_message_adapter

from callboard.tools.mcp.sift import LARGE_BYTES, MAX_TOOLS, asked_for, slimmed
from tests.fakes.mcp_raw import tool


def line(count: int, **more: object) -> bytes:
    tools = [tool(f"t{each}", "d" * 100) for each in range(count)]
    return json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"tools": tools, **more}}).encode()


def test_a_list_that_is_too_long_keeps_its_beginning_and_all_that_is_beside_it() -> None:
    message = json.loads(slimmed(line(20_000, resultType="complete")))
    assert message["id"] == 7
    assert message["result"]["resultType"] == "complete"
    assert len(message["result"]["tools"]) == MAX_TOOLS + 1
    assert message["result"]["tools"][0]["name"] == "t0"


@pytest.mark.parametrize(
    "other",
    [
        line(10),
        line(1000, filler="x" * LARGE_BYTES),
        b'{"jsonrpc":"2.0","id":1,"result":{"content":"' + b"x" * LARGE_BYTES + b'"}}',
        b'{"jsonrpc":"2.0","method":"m","params":{"x":"' + b"x" * LARGE_BYTES + b'"}}',
        b"[" * LARGE_BYTES,
        b"\xff" * LARGE_BYTES,
    ],
    ids=["short", "long beside it", "result", "notification", "deep", "junk"],
)
def test_everything_else_stays_as_it_came(other: bytes) -> None:
    assert slimmed(other) is other


@pytest.mark.parametrize(
    "message, methods",
    [
        ({"id": 1, "method": "roots/list"}, ("roots/list",)),
        (
            {"id": 1, "result": {"inputRequests": {"a": {"method": "sampling/createMessage"}, "b": 7}}},
            ("sampling/createMessage",),
        ),
        ({"id": 1, "result": {"inputRequests": ["sampling/createMessage"]}}, ()),
        ({"id": 1, "result": {}}, ()),
        ({"method": "notifications/message", "params": {}}, ()),
    ],
)
def test_what_a_message_asks_us_for_is_seen_on_both_wires(
    message: dict[str, object], methods: tuple[str, ...]
) -> None:
    text = json.dumps({"jsonrpc": "2.0", **message})
    assert asked_for(jsonrpc_message_adapter.validate_json(text, by_name=False)) == methods
