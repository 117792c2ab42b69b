"""A secret shows itself to nobody who does not ask."""

import pickle

import msgspec
import pytest

from callboard.secret import Secret


def test_a_secret_never_shows_itself_by_accident() -> None:
    secret = Secret("sk-1")
    assert [str(secret), repr(secret), f"{secret}", f"{[secret]}"] == ["***", "***", "***", "[***]"]
    assert secret.reveal() == "sk-1"


def test_a_secret_is_not_encoded() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("sk-1"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("sk-1"))


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("ä")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert bool(Secret("a"))
    assert not Secret("")
