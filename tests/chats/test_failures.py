"""What a user is told when something goes wrong: a closed table, and nothing that came from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest

from callboard import errors
from callboard.chats.failures import FailureCode, code_of, failure

CODES = get_args(FailureCode)
TECHNICAL = re.compile(
    r"http|api|json|token|exception|traceback|openai|provider|upstream|[0-9]{3}|_", re.IGNORECASE
)


def refusals(kind: type[errors.Refusal] = errors.Refusal) -> Iterator[type[errors.Refusal]]:
    yield kind
    for below in kind.__subclasses__():
        yield from refusals(below)


def test_there_are_thirteen_codes_and_four_more_for_answers_that_had_begun() -> None:
    assert len(CODES) == len(set(CODES)) == 13 + 4
    assert set(CODES[13:]) == {
        "stream_processing_error",
        "stream_thread_error",
        "storage_error",
        "empty_response",
    }


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_sentence_and_a_way_on_without_technical_words(code: FailureCode) -> None:
    told = failure(code)
    assert told.error_code == code
    for sentence in (told.message, told.user_action):
        assert sentence.endswith(".")
        assert not TECHNICAL.search(sentence)


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.RateLimited("x"), "rate_limit"),
        (errors.UpstreamRateLimited("x", upstream_status=429), "rate_limit"),
        (errors.UnknownModel("x"), "model_unavailable"),
        (errors.UpstreamNotFound("x", upstream_status=404), "model_unavailable"),
        (errors.BudgetExceeded("x"), "quota_exceeded"),
        (errors.UpstreamQuota("x", upstream_status=429), "quota_exceeded"),
        (errors.ContextTooLong("x"), "invalid_request"),
        (errors.UpstreamInvalid("x", upstream_status=400), "invalid_request"),
        (errors.UpstreamAuthentication("x", upstream_status=401), "authentication_error"),
        (errors.UpstreamPermission("x", upstream_status=403), "permission_error"),
        (errors.UpstreamOverloaded("x", upstream_status=503), "service_unavailable"),
        (errors.MailboxFull("x"), "service_unavailable"),
        (errors.UpstreamServerError("x", upstream_status=502), "gateway_error"),
        (errors.UpstreamTimeout("x", upstream_status=504), "gateway_error"),
        (errors.UpstreamServerError("x", upstream_status=500), "api_error"),
        (errors.UpstreamUnreachable("x"), "connection_error"),
        (ConnectionResetError("x"), "connection_error"),
        (errors.UpstreamTimeout("x"), "timeout_error"),
        (TimeoutError("x"), "timeout_error"),
        (errors.RemoteWireError("x"), "parsing_error"),
        (KeyError("x"), "general_error"),
        (errors.StoreUnavailable("x"), "storage_error"),
    ],
)
def test_an_error_has_its_code(error: BaseException, code: str) -> None:
    assert code_of(error) == code


def test_bugs_within_an_answer_have_codes_of_their_own() -> None:
    assert code_of(KeyError("x"), streaming=True) == "stream_processing_error"
    assert code_of(errors.ActorFailed("x"), streaming=True) == "stream_thread_error"


@pytest.mark.parametrize("kind", sorted(set(refusals()), key=str))
def test_every_refusal_there_is_has_a_code(kind: type[errors.Refusal]) -> None:
    assert code_of(kind("x")) != "general_error"
