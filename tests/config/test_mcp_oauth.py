"""``[mcp.servers.NAME.oauth]``, and where logins are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.config import is_scope, load, logins_folder
from callboard.secret import Secret
from tests.config.files import lines_of, write

URL = 'url = "https://example.com/mcp"'
ISSUERS = 'issuers = ["https://login.example.com"]'
HTTPS = "expected URLs that begin with https://; http:// is for hosts without a dot, and addresses"


def test_a_table_says_how_tokens_are_had(tmp_path: Path) -> None:
    text = f"""
    [mcp.servers.far]
    {URL}
    [mcp.servers.far.oauth]
    issuers = ["https://login.example.com/tenant", "http://localhost:9000"]
    client_id = "us"
    client_secret = "${{SECRET}}"
    scope = "read write"
    redirect_port = 9999
    """
    write(tmp_path, text)
    (far,) = load(None, environ={"SECRET": "s3cret"}, cwd=tmp_path).mcp.servers
    oauth = far.oauth
    assert oauth is not None
    assert oauth.issuers == ("https://login.example.com/tenant", "http://localhost:9000")
    assert (oauth.client_id, oauth.client_secret) == ("us", Secret("s3cret"))
    assert (oauth.grant, oauth.scope, oauth.redirect_port) == ("authorization_code", "read write", 9999)
    assert oauth.token_endpoint_auth_method is None
    assert "s3cret" not in repr(far)


@pytest.mark.parametrize(
    "server, oauth, line",
    [
        ('command = "a"', ISSUERS, "3: [mcp.servers.x] oauth: has no meaning with command"),
        (
            f'{URL}\nheaders = {{ authorization = "Bearer x" }}',
            ISSUERS,
            "4: [mcp.servers.x] oauth: does not go with an Authorization header",
        ),
        (URL, "", "3: [mcp.servers.x] oauth.issuers: missing"),
        (URL, "issuers = []", "4: [mcp.servers.x] oauth.issuers: missing; name the authorization servers"),
        (URL, 'issuers = ["https://a b"]', "4: [mcp.servers.x] oauth.issuers: not a URL"),
        (URL, 'issuers = ["http://login.example.com"]', f"4: [mcp.servers.x] oauth.issuers: {HTTPS}"),
        (
            URL,
            'issuers = ["https://h/?a=b"]',
            "4: [mcp.servers.x] oauth.issuers: expected URLs without a query, a fragment or a user",
        ),
        (
            URL,
            f'{ISSUERS}\ngrant = "client_credentials"\nclient_secret = "s"',
            "3: [mcp.servers.x] oauth.client_id: missing; client_credentials needs it",
        ),
        (
            URL,
            f'{ISSUERS}\ngrant = "client_credentials"\nclient_id = "us"',
            "3: [mcp.servers.x] oauth.client_secret: missing; client_credentials needs it",
        ),
        (
            URL,
            f'{ISSUERS}\nclient_secret = "s"',
            "3: [mcp.servers.x] oauth.client_id: missing; client_secret needs it",
        ),
        (
            URL,
            f'{ISSUERS}\ngrant = "password"',
            '5: [mcp.servers.x] oauth.grant: expected "authorization_code" or "client_credentials"',
        ),
        (
            URL,
            f'{ISSUERS}\nclient_id = "us"\nclient_secret = "s"\ntoken_endpoint_auth_method = "none"',
            '7: [mcp.servers.x] oauth.token_endpoint_auth_method: "none" does not go with client_secret',
        ),
        (
            URL,
            f'{ISSUERS}\nclient_id = "us"\ntoken_endpoint_auth_method = "client_secret_post"',
            '6: [mcp.servers.x] oauth.token_endpoint_auth_method: "client_secret_post" needs client_secret',
        ),
        (
            URL,
            f'{ISSUERS}\nclient_id = "us"\nclient_metadata_url = "https://h/client.json"',
            "6: [mcp.servers.x] oauth.client_metadata_url: has no meaning with client_id",
        ),
        (
            URL,
            f'{ISSUERS}\nclient_metadata_url = "https://h/"',
            "5: [mcp.servers.x] oauth.client_metadata_url: expected a URL that begins with https://",
        ),
        (URL, f'{ISSUERS}\nclient_id = ""', "5: [mcp.servers.x] oauth.client_id: empty, or with a character"),
        (
            URL,
            f'{ISSUERS}\nclient_id = "us"\nclient_secret = "ü"',
            "6: [mcp.servers.x] oauth.client_secret: empty, or with a character",
        ),
        (URL, f'{ISSUERS}\nscope = "a  b"', "5: [mcp.servers.x] oauth.scope: expected names"),
        (URL, f"{ISSUERS}\nredirect_port = 0", "5: [mcp.servers.x] oauth.redirect_port: expected"),
        (
            URL,
            f"{ISSUERS}\nisuers = 1",
            '5: [mcp.servers.x] oauth.isuers: unknown key; did you mean "issuers"?',
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, server: str, oauth: str, line: str) -> None:
    (found,) = lines_of(tmp_path, f"[mcp.servers.x]\n{server}\n[mcp.servers.x.oauth]\n{oauth}\n")
    assert found.startswith(f"callboard.toml:{line}")


@pytest.mark.parametrize("text", ["a b:c https://x/y.z", "read"])
def test_names_of_scopes_are(text: str) -> None:
    assert is_scope(text)


@pytest.mark.parametrize("text", ["", " a", "a  b", 'a"', "a\\", "a'b", "a\nb", "ü"])
def test_what_would_need_quotes_is_no_scope(text: str) -> None:
    assert not is_scope(text)


@pytest.mark.parametrize(
    "text, folder",
    [
        ("", ".callboard/mcp"),
        ('[store]\nurl = "memory:"', ".callboard/mcp"),
        ('[store]\nurl = "sqlite:///data/x.db"', "data/mcp"),
        ('[store]\nurl = "sqlite:////var/x.db"', "/var/mcp"),
        ('[mcp]\nlogins_path = "here"', "here"),
    ],
)
def test_logins_are_beside_the_store(tmp_path: Path, text: str, folder: str) -> None:
    write(tmp_path, text)
    assert logins_folder(load(None, environ={}, cwd=tmp_path)) == tmp_path / folder
