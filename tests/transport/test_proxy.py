"""A proxy's URL, as the client reads it and as the configuration's checks judge it."""

from pathlib import Path

import pytest

from callboard.errors import LocalWireError
from callboard.transport.outgoing import Origin
from callboard.transport.proxy import parse_proxy
from tests.config.files import lines_of


@pytest.mark.parametrize(
    "url, port, credentials",
    [
        ("http://proxy.test/", 80, None),
        ("http://proxy.test:3128", 3128, None),
        ("http://user@proxy.test:3128/", 3128, (b"user", b"")),
        ("http://user:@proxy.test:3128/", 3128, (b"user", b"")),
        ("http://:secret@proxy.test:3128/", 3128, (b"", b"secret")),
        ("http://me%40home:a%2Fb%3a:c%C3%BC@proxy.test/", 80, (b"me@home", "a/b::cü".encode())),
        (
            "http://a!$&'()*+,;=~._-:b!$&'()*+,;=~._-@proxy.test/",
            80,
            (b"a!$&'()*+,;=~._-", b"b!$&'()*+,;=~._-"),
        ),
    ],
)
def test_user_and_password_are_taken_out(
    tmp_path: Path, url: str, port: int, credentials: tuple[bytes, bytes] | None
) -> None:
    assert parse_proxy(url) == (Origin(secure=False, host="proxy.test", port=port), credentials)
    assert _faults(tmp_path, url) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@",
        "http://user:se cret@proxy.test/",
        "http://user:se@cret@proxy.test/",
        "http://user:secret/@proxy.test/",
        "http://user:secret%@proxy.test/",
        "http://user:secret%0A@proxy.test/",
        "http://user:secret%7f@proxy.test/",
        "http://user%3Aname:secret@proxy.test/",
        "http://us\u00e9r:secret@proxy.test/",
        "ftp://user:secret@proxy.test/",
        "socks5://user:secret@proxy.test/",
        "http://user:secret@proxy.test/#x",
    ],
)
def test_what_cannot_be_sent_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(LocalWireError) as caught:
        parse_proxy(url)
    [fault] = _faults(tmp_path, url)
    assert "cret" not in str(caught.value) + fault


def _faults(folder: Path, url: str) -> list[str]:
    return lines_of(folder, f'[providers.p]\nkind = "openai"\nproxy = "{url}"\nany_model = true\n')
