"""What no single key can tell: kinds, URLs, headers, and parts that do not fit together."""

from pathlib import Path

import pytest

from callboard.config import problems
from tests.config.files import lines_of


@pytest.mark.parametrize(
    "body,line",
    [
        ("", '1: [providers.p] kind: missing; expected "openai", "local" or "scripted"'),
        ("kind = 3", '2: [providers.p] kind: expected "openai", "local" or "scripted"'),
        ('kind = "opnai"', '2: [providers.p] kind: no kind "opnai"; did you mean "openai"?'),
        (
            'kind = "anthropic"',
            '2: [providers.p] kind: "anthropic" comes in a later release; '
            'this one has "openai", "local" or "scripted"',
        ),
        ('knid = "local"\nkind = "local"', '2: [providers.p] knid: unknown key; did you mean "kind"?'),
        (
            'kind = "local"\nname = "q"',
            "3: [providers.p] name: unknown key; known here: "
            "any_model, context, kind, requests_per_minute, slots, threads, tokens_per_minute",
        ),
        (
            'kind = "openai"\ntimeouts = { idel_s = 1 }',
            '3: [providers.p] timeouts.idel_s: unknown key; did you mean "idle_s"?',
        ),
        (
            'kind = "openai"\ntimeouts.idle_s = 0',
            "3: [providers.p] timeouts.idle_s: expected a number > 0.0, got 0",
        ),
        (
            'kind = "openai"\nbase_url = "ftp://x"',
            "3: [providers.p] base_url: expected a URL that begins with http:// or https://",
        ),
        ('kind = "openai"\nbase_url = "https://"', "3: [providers.p] base_url: not a URL"),
        ('kind = "openai"\nbase_url = "https://a:b"', "3: [providers.p] base_url: not a URL"),
        (
            'kind = "openai"\nbase_url = "https://me:pw@x/v1"',
            "3: [providers.p] base_url: a user name or password does not belong into the URL; "
            "use api_key or headers",
        ),
        (
            'kind = "openai"\nbase_url = "https://x/v1?key=1"',
            "3: [providers.p] base_url: expected a URL without a query or a fragment",
        ),
        (
            'kind = "openai"\napi_key = "a\\nb"',
            "3: [providers.p] api_key: empty, or with a character no header may have",
        ),
        (
            'kind = "openai"\nheaders = { X-A = "a\\r\\nX-B: b" }',
            "3: [providers.p] headers.X-A: empty, or with a character no header may have",
        ),
        (
            'kind = "openai"\nheaders = { "X A" = "a" }',
            "3: [providers.p] headers.X A: not the name of an HTTP header",
        ),
        ('kind = "openai"\napi_key = 5', "3: [providers.p] api_key: expected a string, got 5"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(tmp_path: Path, body: str, line: str) -> None:
    text = f"[providers.p]\n{body}\n\n[models.m]\nprovider = 'p'\n"
    assert lines_of(tmp_path, text) == [f"callboard.toml:{line}"]


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    for key in ("server.port", "log.level", "providers.p.base_url", "providers.p.slots"):
        text = f'providers.p.kind = "openai"\n{key} = "${{KEY}}"\n'
        lines = lines_of(tmp_path, text, {"KEY": "sk-very-secret"})
        assert len(lines) == 1
        assert "very" not in lines[0]


@pytest.mark.parametrize(
    "text,line",
    [
        ("[models.m]\n", "1: [models.m] provider: missing"),
        (
            '[models.m]\nprovider = "lcal"\n',
            '2: [models.m] provider: no provider "lcal"; did you mean "local"?',
        ),
        (
            '[models.m]\nprovider = "local"\nfallbacks = ["n"]\n',
            '3: [models.m] fallbacks: no model "n"; known here: m',
        ),
        (
            '[models.m]\nprovider = "local"\nfallbacks = ["m"]\n',
            "3: [models.m] fallbacks: leads in a circle: m -> m",
        ),
        (
            '[models.a]\nprovider = "local"\nfallbacks = ["b"]\n[models.b]\nprovider = "local"\n'
            'fallbacks = ["c"]\n[models.c]\nprovider = "local"\nfallbacks = ["a"]\n',
            "3: [models.a] fallbacks: leads in a circle: a -> b -> c -> a",
        ),
        (
            '[models.m]\nprovider = "local"\nspeed = 1.5\n',
            "3: [models.m] speed: expected a number <= 1.0, got 1.5",
        ),
        (
            '[models.m]\nprovider = "local"\ninput = -1\n',
            "3: [models.m] input: expected USD per million tokens, from 0 to 1000000, got -1",
        ),
        (
            '[models.m]\nprovider = "local"\noutput = 0.1234567\n',
            "3: [models.m] output: expected at most 6 decimal places, got 0.1234567",
        ),
        (
            '[models.m]\nprovider = "local"\n[assistants.a]\nmodel = "mm"\n',
            '4: [assistants.a] model: no model "mm"; did you mean "m"?',
        ),
        (
            '[providers.p]\nkind = "openai"\n[assistants.a]\n',
            "3: [assistants.a] model: missing, and no model is configured",
        ),
        (
            '[providers.p]\nkind = "openai"\nany_model = true\n'
            '[providers.q]\nkind = "openai"\nany_model = true\n',
            '6: [providers.q] any_model: the provider "p" has it already',
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, text: str, line: str) -> None:
    assert lines_of(tmp_path, text) == [f"callboard.toml:{line}"]


def test_models_may_share_a_fallback(tmp_path: Path) -> None:
    model = {"provider": "local"}
    source = {
        "models": {"a": {**model, "fallbacks": ["c", "b"]}, "b": {**model, "fallbacks": ["c"]}, "c": model}
    }
    assert problems(source, environ={}, cwd=tmp_path) == ()
