"""What must not be in a line is taken out here, right before rendering, whoever put it in.

Three nets, one behind the other: secrets are wrapped in `Secret` and fields of content are marked in the
schema; keys with telling names lose their values; and text is searched for what looks like a credential, for
URLs with a user name or a query, and for long encoded data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from math import isfinite

from callboard.secret import Secret
from callboard.telemetry.render import MAX_VALUE_CHARS, Plain

HIDDEN = "***"
MAX_INTEGER_BITS = 64
MAX_SEARCHED_CHARS = 4 * MAX_VALUE_CHARS
MIN_ENCODED_CHARS = 128
MIN_CREDENTIAL_CHARS = 8

_SECRET_KEYS = frozenset(
    {
        "api_key",
        "apikey",
        "authorization",
        "cookie",
        "key",
        "passwd",
        "password",
        "proxy_authorization",
        "secret",
        "set_cookie",
        "token",
    }
)
_SECRET_ENDINGS = ("_api_key", "_key", "_token", "_secret", "_password", "_cookie")

_URL = re.compile(
    r"""([A-Za-z][A-Za-z0-9+.-]{1,20}://)  # scheme
        (?:[^\s/?#]*@)?                    # user name and password
        ([^\s?#"'<>]*)                     # host and path
        (?:[?#][^\s"'<>]*)?                # query and fragment""",
    re.VERBOSE,
)
_CREDENTIAL = re.compile(
    r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}|\b(sk|pk|cb|key|ghp|xox[abp])[-_][A-Za-z0-9_-]{8,}"
)
_ENCODED = re.compile(r"(?:data:[^\s,]{0,100},)?[A-Za-z0-9+/_=-]{128,}")


@lru_cache(maxsize=512)
def is_secret_key(key: str) -> bool:
    """Whether a key's name says that its value is a credential: ``authorization``, ``x-api-key``."""
    name = key.lower().replace("-", "_")
    return name in _SECRET_KEYS or name.endswith(_SECRET_ENDINGS)


def redact_text(text: str) -> str:
    """``text`` without credentials, without user names and queries of URLs, with long encoded data cut."""
    if len(text) < MIN_CREDENTIAL_CHARS:
        return text
    text = text[:MAX_SEARCHED_CHARS]
    if len(text) >= MIN_ENCODED_CHARS:
        text = _ENCODED.sub(lambda found: f"{found.group()[:16]}…({len(found.group())} characters)", text)
    if "://" in text:
        text = _URL.sub(r"\1\2", text)
    return _CREDENTIAL.sub(lambda found: f"{found.group(1) or found.group(2)} {HIDDEN}", text)


def plain(key: str, value: object) -> Plain | None:
    """The value of a field as a line may hold it; None leaves the field out."""
    if value is None or isinstance(value, Secret) or is_secret_key(key):
        return None if value is None else HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return " ".join(f"{name}={plain(str(name), each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return ",".join(str(plain(key, each)) for each in value)
    return type(value).__name__


def _number(value: float | Decimal) -> Plain:
    """A number that JSON has too; others become words."""
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_INTEGER_BITS else hex(value)
    return value if isfinite(value) else str(value)


def digest(value: object) -> str:
    """What stands for content that must not be shown: its size, and a hash by which equal ones are known."""
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return f"[{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}]"
