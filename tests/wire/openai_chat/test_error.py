"""Errors in both directions: true types, true statuses, and no secrets."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard import errors
from callboard.wire.openai_chat.error import (
    MAX_MESSAGE_CHARS,
    MAX_RETRY_AFTER_S,
    decode_error,
    encode_error,
    masked,
    parse_retry_after,
    stream_error,
)

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def told(error: BaseException) -> dict[str, object]:
    document = json.loads(encode_error(error))
    assert document.keys() == {"error"}
    assert isinstance(document["error"], dict)
    return document["error"]


@pytest.mark.parametrize(
    "error, kind, param, code",
    [
        (errors.InvalidRequest("x", param="n", code="c"), "invalid_request_error", "n", "c"),
        (
            errors.LocalWireError("x", param="messages[1].content"),
            "invalid_request_error",
            "messages[1].content",
            None,
        ),
        (errors.ContextTooLong("x"), "invalid_request_error", None, "context_length_exceeded"),
        (errors.Unauthenticated("x"), "authentication_error", None, "invalid_api_key"),
        (errors.PermissionDenied("x"), "permission_error", None, "permission_denied"),
        (errors.UnknownModel("x"), "invalid_request_error", "model", "model_not_found"),
        (
            errors.UnknownResponse("x"),
            "invalid_request_error",
            "previous_response_id",
            "previous_response_not_found",
        ),
        (errors.TooLarge("x"), "invalid_request_error", None, "request_too_large"),
        (errors.RateLimited("x"), "rate_limit_error", None, "rate_limit_exceeded"),
        (errors.BudgetExceeded("x"), "insufficient_quota", None, "insufficient_quota"),
        (errors.MailboxFull("x"), "server_error", None, "overloaded"),
        (errors.DeadlineExceeded("x"), "server_error", None, "deadline_exceeded"),
        (errors.UpstreamRateLimited("x"), "rate_limit_error", None, "rate_limit_exceeded"),
        (errors.UpstreamQuota("x"), "insufficient_quota", None, "insufficient_quota"),
        (errors.UpstreamTimeout("x"), "server_error", None, "upstream_timeout"),
        (errors.UpstreamAuthentication("x"), "server_error", None, "upstream_authentication"),
        (errors.StreamIncomplete("x"), "server_error", None, "stream_incomplete"),
    ],
)
def test_each_refusal_has_its_type(
    error: errors.Refusal, kind: str, param: str | None, code: str | None
) -> None:
    assert told(error) == {"message": "x", "type": kind, "param": param, "code": code}


def every_refusal(kind: type[errors.Refusal] = errors.Refusal) -> Iterator[type[errors.Refusal]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_refusal(below)


@pytest.mark.parametrize("kind", sorted(every_refusal(), key=repr))
def test_no_refusal_is_without_a_type(kind: type[errors.Refusal]) -> None:
    assert told(kind("why"))["message"] == "why"
    assert told(kind("why"))["type"]


@pytest.mark.parametrize(
    "error", [errors.ActorFailed("/etc/secret"), ValueError("/etc/secret"), KeyError("/etc/secret")]
)
def test_a_failure_says_nothing_of_itself(error: Exception) -> None:
    fields = told(error)
    assert fields["type"] == "server_error"
    assert "secret" not in json.dumps(fields)


def test_the_request_is_named_where_it_has_a_name() -> None:
    assert json.loads(encode_error(errors.Overloaded("x"), request_id="req_1"))["request_id"] == "req_1"


def body(message: str = "why", **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    "status, answer, kind, code",
    [
        (
            429,
            body(type="requests", code="rate_limit_exceeded"),
            errors.UpstreamRateLimited,
            "rate_limit_exceeded",
        ),
        (429, body(type="rate_limit_error"), errors.UpstreamRateLimited, "rate_limit_error"),
        (
            429,
            body(type="insufficient_quota", code="insufficient_quota"),
            errors.UpstreamQuota,
            "insufficient_quota",
        ),
        (402, body(code=402), errors.UpstreamQuota, "402"),
        (
            400,
            body(type="invalid_request_error", code="context_length_exceeded"),
            errors.UpstreamInvalid,
            "context_length_exceeded",
        ),
        (400, body(type="invalid_request_error"), errors.UpstreamInvalid, "invalid_request_error"),
        (422, b'{"detail":[{"msg":"field required"}]}', errors.UpstreamInvalid, None),
        (
            401,
            body(type="invalid_request_error", code="invalid_api_key"),
            errors.UpstreamAuthentication,
            "invalid_api_key",
        ),
        (400, body(code="invalid_api_key"), errors.UpstreamAuthentication, "invalid_api_key"),
        (403, body(code="unsupported_country"), errors.UpstreamPermission, "unsupported_country"),
        (404, body(code="model_not_found"), errors.UpstreamNotFound, "model_not_found"),
        (404, b"not here", errors.UpstreamNotFound, None),
        (408, b"", errors.UpstreamTimeout, None),
        (500, body(type="server_error"), errors.UpstreamServerError, "server_error"),
        (502, b"<html>Bad Gateway</html>", errors.UpstreamServerError, None),
        (503, body(type="overloaded"), errors.UpstreamOverloaded, "overloaded"),
        (504, b"", errors.UpstreamTimeout, None),
        (529, body(type="overloaded_error"), errors.UpstreamOverloaded, "overloaded_error"),
        (302, b"", errors.RemoteWireError, None),
    ],
)
def test_an_upstreams_error_is_known_by_code_type_and_status(
    status: int, answer: bytes, kind: type[errors.UpstreamError], code: str | None
) -> None:
    error = decode_error(status, (), answer)
    assert type(error) is kind
    assert (error.upstream_status, error.upstream_code) == (status, code)


@pytest.mark.parametrize(
    "answer, message",
    [
        (body("why"), "why"),
        (b'{"error":"model is loading"}', "model is loading"),
        (b'{"message":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b"<html>", "request failed with status 500"),
        (b"", "request failed with status 500"),
        (b"\xff{", "request failed with status 500"),
        (b'{"error":{}}', "request failed with status 500"),
        (b'{"error":[1]}', "request failed with status 500"),
        (b'{"error":{"message":["a"]}}', "request failed with status 500"),
        (b"[" * 9_000, "request failed with status 500"),
    ],
)
def test_the_message_is_passed_on_where_there_is_one(answer: bytes, message: str) -> None:
    assert str(decode_error(500, (), answer)) == message


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef123456",
        "sk-ab*****cdef",
        "Bearer abc.def",
        "AIzaSyA1234567890",
        "org-a1b2c3d4",
        "gsk_abcdef123",
    ],
)
def test_keys_and_accounts_are_masked(secret: str) -> None:
    error = decode_error(429, (), body(f"Rate limit for {secret} now, try later"))
    assert str(error) == "Rate limit for [masked] now, try later"
    assert secret not in encode_error(error).decode()


def test_of_a_refused_key_nothing_is_passed_on() -> None:
    error = decode_error(
        401, (), body("Incorrect API key provided: hunter2 (a word)", code="invalid_api_key")
    )
    assert "hunter2" not in str(error)
    assert error.body is None


def test_an_invalid_request_keeps_its_code_and_field_for_the_client() -> None:
    answer = body("too long", type="invalid_request_error", code="context_length_exceeded", param="messages")
    error = decode_error(400, (), answer)
    assert error.status_hint == 400
    assert told(error) == {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize(
    "value, kind, status",
    [
        (b'{"message":"m","code":"rate_limit_exceeded"}', errors.UpstreamRateLimited, None),
        (b'{"message":"m","code":503}', errors.UpstreamOverloaded, 503),
        (b'{"message":"m","type":"invalid_request_error"}', errors.UpstreamInvalid, None),
        (b'{"message":"m","type":"server_error"}', errors.UpstreamServerError, None),
        (b'"m"', errors.UpstreamServerError, None),
    ],
)
def test_an_error_within_a_stream_needs_no_status(
    value: bytes, kind: type[errors.UpstreamError], status: int | None
) -> None:
    error = stream_error(value)
    assert (type(error), error.upstream_status, str(error)) == (kind, status, "m")


@given(st.text(max_size=300))
def test_masking_never_fails_and_is_bounded(text: str) -> None:
    assert len(masked(text * 20)) <= MAX_MESSAGE_CHARS * 2


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1000000000"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "9" * 400}, MAX_RETRY_AFTER_S),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "x" * 100_000}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue Nov 14 22:13:50 2023"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 14 Nov 2053 22:13:00 GMT"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:50 GMT"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "-1", "retry-after": "1"}, 1.0),
    ],
)
def test_the_advised_delay_is_read_in_each_form_and_never_trusted_blindly(
    headers: dict[str, str], expected: float | None
) -> None:
    assert parse_retry_after(headers.items(), now_epoch_s=NOW) == expected


def test_without_a_clock_the_answers_own_date_is_the_present() -> None:
    later = ("retry-after", "Tue, 14 Nov 2023 22:13:50 GMT")
    assert parse_retry_after([later, ("date", "Tue, 14 Nov 2023 22:13:40 GMT")]) == 10.0
    assert parse_retry_after([later]) is None
    assert decode_error(429, [("retry-after", "7")], b"").retry_after_s == 7.0


@given(st.text(max_size=60))
def test_no_header_value_crashes(value: str) -> None:
    delay = parse_retry_after([("retry-after", value), ("retry-after-ms", value)], now_epoch_s=NOW)
    assert delay is None or 0 <= delay <= MAX_RETRY_AFTER_S
