"""What the chat front refuses, in its own words."""

from __future__ import annotations

import re

from callboard.errors import InvalidRequest, NotFound

_USERNAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,128}")


class UnknownConversation(NotFound, ValueError):
    """The user has no such conversation. A `ValueError` too, as the front's callers expect it."""


def unknown(conversation_id: str) -> UnknownConversation:
    """The refusal for a conversation that the user does not have."""
    return UnknownConversation(f"Conversation {conversation_id!r} not found.")


def is_username(name: str) -> bool:
    """Whether ``name`` may name a user, and the user's file: no way to another folder, nothing hidden."""
    return _USERNAME.fullmatch(name) is not None and name.strip() == name and not name.startswith(".")


def checked_username(name: str) -> str:
    """``name``, if it may name a user.

    Raises:
        InvalidRequest: It may not.
    """
    if not is_username(name):
        raise InvalidRequest(
            "A user's name has 1 to 128 characters, no slash or control character among them, and does not "
            "begin with a dot.",
            param="username",
            code="invalid_value",
        )
    return name
