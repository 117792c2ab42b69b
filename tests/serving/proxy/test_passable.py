"""Header fields through the proxy: 5,000 requests and answers made of everything that must not pass."""

from __future__ import annotations

import random

from callboard.providers.forwarding import forwarded_headers
from callboard.serving.proxy.passable import DOWNWARD, HARMLESS, UPWARD, downward, upward
from callboard.transport.http import HttpRequest
from callboard.transport.outgoing import prepare

CANARY = "canary-7f3a"
OWN = (("openai-organization", "org-ours"), ("authorization", "Bearer sk-ours"))
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "proxy-authenticate", "proxy-authorization",
}  # fmt: skip
FOREIGN = {
    "authorization", "x-api-key", "api-key", "cookie", "cookie2", "proxy-authorization", "x-goog-api-key",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip", "via", "host",
    "openai-organization", "openai-project", "x-amz-security-token", "x-csrf-token", "x-auth-token",
    "referer", "origin", "user-agent", "x-http-method-override", "x-original-url", "x-rewrite-url", "expect",
    "content-length", "http2-settings", "sec-fetch-site", "from", "true-client-ip", "x-request-id",
    "anthropic-api-key", "ocp-apim-subscription-key",
}  # fmt: skip
FROM_UPSTREAM = {
    "set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate", "authentication-info", "server",
    "via", "x-powered-by", "alt-svc", "location", "refresh", "access-control-allow-origin",
    "access-control-allow-credentials", "strict-transport-security", "clear-site-data", "public-key-pins",
    "content-security-policy", "x-frame-options", "service-worker-allowed", "sourcemap", "link", "nel",
    "report-to", "x-request-id", "openai-organization", "cf-ray", "date", "x-accel-redirect", "x-sendfile",
    "authorization", "age", "content-location",
}  # fmt: skip


def cased(chance: random.Random, name: str) -> str:
    return "".join(chance.choice((each.upper(), each)) for each in name)


def test_5000_generated_requests_take_along_no_foreign_credential_and_nothing_hop_by_hop() -> None:
    chance = random.Random(36)
    mean = sorted(FOREIGN | HOP_BY_HOP)
    kind = sorted(each.decode() for each in UPWARD)
    carried = 0
    for number in range(5000):
        fields = dict.fromkeys(chance.sample(mean, chance.randint(1, 12)), f"{CANARY}-{number}")
        allowed = {name: f"fine-{name}" for name in chance.sample(kind, chance.randint(0, 6))}
        named = set(chance.sample(sorted(allowed), min(len(allowed), chance.randint(0, 2))))
        junk = {f"x-{chance.randrange(10**6)}": CANARY}
        fields |= allowed | junk
        fields["connection"] = ", ".join(cased(chance, each) for each in (*named, "keep-alive", CANARY))
        headers = {name.encode(): value.encode() for name, value in fields.items()}
        sent = prepare(
            HttpRequest(
                method="GET", url="http://up.test/v1/files", headers=forwarded_headers(upward(headers), OWN)
            )
        )
        assert CANARY.encode() not in sent.head
        names = [name.lower() for name, _ in sent.fields]
        assert not HOP_BY_HOP & set(names)
        assert len(names) == len(set(names))
        assert sent.head.count(b"authorization: Bearer sk-ours\r\n") == 1
        for name in allowed:
            assert (f"{name}: fine-{name}\r\n".encode() in sent.head) is (name not in named)
            carried += name not in named
    assert carried > 5000


def test_5000_generated_answers_bring_back_no_cookie_and_nothing_hop_by_hop() -> None:
    chance = random.Random(63)
    mean = sorted(FROM_UPSTREAM | HOP_BY_HOP)
    kind = sorted(DOWNWARD - {"content-length"})
    carried = 0
    for number in range(5000):
        allowed = {name: f"fine-{name}" for name in chance.sample(kind, chance.randint(0, 6))}
        named = set(chance.sample(sorted(allowed), min(len(allowed), chance.randint(0, 2))))
        fields = [(name, f"{CANARY}-{number}") for name in chance.choices(mean, k=chance.randint(1, 12))]
        fields += [*allowed.items(), (f"x-{chance.randrange(10**6)}", CANARY)]
        fields += [("connection", cased(chance, each)) for each in named]
        chance.shuffle(fields)
        back = downward(200, fields)
        assert not any(CANARY.encode() in value for _, value in back)
        names = [name.decode() for name, _ in back]
        assert set(names) == (set(allowed) - named) | {name.decode() for name, _ in HARMLESS}
        carried += len(allowed) - len(named)
    assert carried > 5000


def test_repeated_fields_of_an_answer_keep_their_order() -> None:
    fields = (("vary", "a"), ("etag", '"x"'), ("vary", "b"))
    assert downward(200, fields)[:3] == ((b"vary", b"a"), (b"etag", b'"x"'), (b"vary", b"b"))


def test_a_length_passes_where_it_is_one_and_the_answer_may_have_one() -> None:
    def lengths(status: int, *values: str) -> list[bytes]:
        back = downward(status, [("content-length", value) for value in values])
        return [value for name, value in back if name == b"content-length"]

    assert lengths(200, "12") == [b"12"]
    assert lengths(200, "12", "13") == []
    assert lengths(200, "+12") == []
    assert lengths(204, "0") == []
    assert lengths(304, "12") == []


def test_what_is_passed_back_is_no_page_of_ours() -> None:
    assert dict(downward(200, ()))[b"x-content-type-options"] == b"nosniff"
    assert b"sandbox" in dict(downward(200, ()))[b"content-security-policy"]


def test_what_clients_of_anthropics_need_passes_unchanged() -> None:
    headers = {b"anthropic-version": b"2023-06-01", b"anthropic-beta": b"a-2025-01-01,b-2025-02-02"}
    assert dict(upward(headers)) == {name.decode(): value.decode() for name, value in headers.items()}
