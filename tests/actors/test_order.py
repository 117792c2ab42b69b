"""Orders as they are stored: whoever takes one up does so on behalf of whoever gave it."""

from __future__ import annotations

from msgspec.structs import replace

from callboard.actors.kept_order import decode_order, encode_order
from callboard.actors.order import Keeping, TurnOrder, order_of, record_of
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import user_text
from callboard.domain.meter import Meter
from callboard.domain.principal import Principal
from callboard.domain.tools import ApprovalPolicy, McpChoice, RemoteServer
from callboard.secret import Secret

METER = Meter("req_1", "test", lambda: 0)
ORDER = TurnOrder(
    request=GenerationRequest(model="m", messages=(user_text("hi"),)),
    response_id="resp_1",
    principal=Principal(key_id="k", tenant="t", models=("m*",), tools=("add",)),
    meter=METER,
    keep=Keeping(created_at_s=7, background=True),
)


def test_a_stored_order_is_the_tenants_and_goes_on_for_the_key() -> None:
    assert ORDER.keep is not None
    record = record_of(ORDER, ORDER.keep, "chat")
    assert record.tenant == "t"
    taken_up = order_of(record, METER)
    assert taken_up.principal == ORDER.principal
    assert taken_up.request == ORDER.request


def test_an_order_from_before_there_were_keys_is_its_tenants() -> None:
    assert ORDER.keep is not None
    record = record_of(ORDER, ORDER.keep, "chat")
    kept = encode_order(replace(decode_order(record.request), principal=None))
    assert b"principal" not in kept
    assert order_of(replace(record, request=kept), METER).principal == Principal(key_id="t", tenant="t")


def test_what_the_client_can_approve_and_sees_is_stored_and_how_to_get_in_elsewhere_is_not() -> None:
    assert ORDER.keep is not None
    chosen = McpChoice(server="desk", allowed=("n*",), approval=ApprovalPolicy(never=()), listed=True)
    far = RemoteServer(choice=chosen, url="https://far", headers={"X": Secret("s3cret")})
    order = replace(ORDER, approving=True, servers=(chosen,), remote=(far,))
    record = record_of(order, ORDER.keep, "chat")
    taken_up = order_of(record, METER)
    assert (taken_up.approving, taken_up.servers, taken_up.remote) == (True, (chosen,), ())
    assert b"s3cret" not in record.request
