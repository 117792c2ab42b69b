"""Tokens: what is one, whose it is, and what proves it."""

from __future__ import annotations

import random
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from callboard.domain.client_key import (
    ID_CHARS,
    SECRET_CHARS,
    ClientKey,
    hash_of,
    is_model_pattern,
    is_name,
    key_id_of,
    new_token,
    proves,
)

SERVER = b"s" * 32
seeds = st.integers(0, 2**64)


def minted(seed: int = 0) -> tuple[ClientKey, bytes]:
    key_id, token = new_token(random.Random(seed).choice)
    key = ClientKey(
        id=key_id, hash=hash_of(token, SERVER), name="n", tenant="t", created_at_s=100, last_four="wxyz"
    )
    return key, token


@given(seeds)
def test_a_new_token_is_read_and_proves_its_key(seed: int) -> None:
    key, token = minted(seed)
    assert key_id_of(token) == key.id
    assert proves(token, key, SERVER)
    assert not proves(token, key, b"another server's secret")


@given(seeds, st.data())
def test_a_token_with_anything_changed_proves_nothing(seed: int, data: st.DataObject) -> None:
    key, token = minted(seed)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.binary(max_size=3).filter(lambda each: each != token[place : place + 1]))
    assert not proves(token[:place] + other + token[place + 1 :], key, SERVER)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_what_is_no_token_names_no_key(text: bytes) -> None:
    assert key_id_of(text) is None


@given(seeds, st.binary(min_size=1, max_size=5), st.booleans())
def test_what_stands_around_a_token_makes_it_none(seed: int, more: bytes, before: bool) -> None:
    _, token = minted(seed)
    assert key_id_of(more + token if before else token + more) is None


@pytest.mark.parametrize(
    "made", [b"cb__", b"cb_0123456789_", b"cb_%b_%b" % (b"a" * 10, b"-" * 32), b"a" * 65536]
)
def test_what_resembles_a_token_is_none(made: bytes) -> None:
    assert key_id_of(made) is None


def test_tokens_are_made_of_all_characters_and_more_than_160_bits_stay_secret() -> None:
    tokens = [new_token(secrets.choice)[1].decode() for _ in range(300)]
    assert len(set(tokens)) == 300
    ids, kept = zip(*(token.split("_")[1:] for token in tokens), strict=True)
    assert set("".join(ids)) == set(ID_CHARS)
    assert set("".join(kept)) == set(SECRET_CHARS)
    # Four of the characters are shown in lists.
    assert {len(SECRET_CHARS) ** (len(each) - 4) > 2**160 for each in kept} == {True}


@pytest.mark.parametrize(
    "expires_at_s, revoked_at_s, valid",
    [(None, None, True), (201, None, True), (200, None, False), (None, 150, False), (300, 0, False)],
)
def test_a_key_is_valid_until_it_expires_or_is_revoked(
    expires_at_s: int | None, revoked_at_s: int | None, valid: bool
) -> None:
    key, _ = minted()
    assert replace(key, expires_at_s=expires_at_s, revoked_at_s=revoked_at_s).is_valid(200.0) is valid


@pytest.mark.parametrize(
    "text, fits",
    [
        ("gpt-4", True),
        ("gpt*", True),
        ("*", True),
        ("", False),
        ("g*t", False),
        ("**", False),
        ("a\nb", False),
    ],
)
def test_a_pattern_has_one_star_at_its_end(text: str, fits: bool) -> None:
    assert is_model_pattern(text) is fits


@pytest.mark.parametrize(
    "text, fits",
    [("Ada", True), ("é ü", True), ("", False), (" a", False), ("a\x1b", False), ("a" * 129, False)],
)
def test_a_name_is_short_and_printable(text: str, fits: bool) -> None:
    assert is_name(text) is fits
