"""Loading: what is found, what is filled in, what is refused and how it is said."""

from decimal import Decimal
from pathlib import Path

import pytest

from callboard.config import (
    Config,
    LocalProvider,
    LogConfig,
    OpenAIProvider,
    ScriptedProvider,
    Timeouts,
    load,
    problems,
)
from callboard.domain.model import ModelTraits, Price
from callboard.errors import ConfigurationError
from callboard.secret import Secret
from tests.config.files import lines_of, write

FULL = """
[server]
host = "127.0.0.2"
port = 9000
allowed_hosts = ["board.example"]

[store]
url = "memory:"

[limits]
requests_per_minute = 60
tokens_per_minute = "unlimited"
cost_per_day_usd = 2.5
parallel = 3

[log]
format = "json"
level = "WARNING"
content = true

[providers.cloud]
kind = "openai"
base_url = "https://api.example/v1/"
api_key = "${CLOUD_KEY}"
headers = { X-Team = "stage" }
timeouts = { idle_s = 12.5 }
requests_per_minute = 500

[providers.here]
kind = "local"
slots = 2

[providers.show]
kind = "scripted"
script = { answers = ["one", "two"], delay_s = 0.5 }

[models.big]
provider = "cloud"
upstream_name = "big-2026"
context_window = 128000
max_output_tokens = 4096
reasoning = true
input = 0.15
output = 0.6
cache_read = 0.075
intelligence = 0.9
speed = 0.4
cost = 1
fallbacks = ["small"]

[models.small]
provider = "here"
images = false

[assistants.writer]
model = "big"
instructions = "Be brief."
tools = ["add"]
temperature = 0.2
max_rounds = 7

[assistants.helper]
"""


def test_a_full_file_becomes_one_tree(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    config = load(None, environ={"CLOUD_KEY": "sk-1"}, cwd=tmp_path)
    assert config.path == path
    assert (config.server.host, config.server.port) == ("127.0.0.2", 9000)
    assert config.server.allowed_hosts == ("board.example",)
    assert (config.limits.cost_per_day_usd, config.limits.parallel) == (Decimal("2.5"), 3)
    assert config.limits.tokens_per_minute == "unlimited"
    assert config.log == LogConfig(format="json", level="warn", content=True)
    cloud, here, show = config.providers
    assert cloud == OpenAIProvider(
        name="cloud",
        base_url="https://api.example/v1",
        api_key=Secret("sk-1"),
        headers={"X-Team": Secret("stage")},
        timeouts=Timeouts(idle_s=12.5),
        requests_per_minute=500,
    )
    assert here == LocalProvider(name="here", slots=2)
    assert isinstance(show, ScriptedProvider)
    assert show.script == {"answers": ["one", "two"], "delay_s": Decimal("0.5")}
    assert config.default_provider is None
    assert config.notices == ()


def test_models_are_routable_values_with_exact_prices(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    big, small = load(None, environ={"CLOUD_KEY": "sk-1"}, cwd=tmp_path).models
    assert (big.name, big.provider, big.upstream_name) == ("big", "cloud", "big-2026")
    assert big.traits == ModelTraits(context_window=128_000, max_output_tokens=4096, reasoning=True)
    assert big.price == Price(
        input_picousd=150_000,
        output_picousd=600_000,
        cache_read_picousd=75_000,
        cache_write_picousd=150_000,
    )
    assert (big.intelligence, big.speed, big.cost, big.fallbacks) == (0.9, 0.4, 1.0, ("small",))
    assert (small.upstream_name, small.price, small.traits.images) == ("small", Price(), False)


def test_assistants_keep_what_is_said_and_take_the_first_model_otherwise(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    writer, helper = load(None, environ={"CLOUD_KEY": "sk-1"}, cwd=tmp_path).assistants
    assert (writer.name, writer.instructions, writer.tools) == ("writer", "Be brief.", ("add",))
    assert (writer.temperature, writer.max_rounds) == (0.2, 7)
    assert (helper.model, helper.tools, helper.max_rounds) == ("big", None, 25)


def test_without_a_file_the_local_model_answers(tmp_path: Path) -> None:
    config = load(None, environ={}, cwd=tmp_path)
    assert config.path is None
    assert config.providers == (LocalProvider(name="local"),)
    assert [(each.name, each.upstream_name) for each in config.models] == [
        ("smollm2", "SmolLM2-135M-Instruct")
    ]
    assert [(each.name, each.model) for each in config.assistants] == [("default", "smollm2")]


def test_a_file_without_providers_keeps_the_local_one(tmp_path: Path) -> None:
    write(tmp_path, '[server]\nport = 1\n[models.mine]\nprovider = "local"\n')
    config = load(None, environ={}, cwd=tmp_path)
    assert [each.name for each in config.models] == ["mine"]
    assert [(each.name, each.model) for each in config.assistants] == [("default", "mine")]


def test_a_provider_of_any_model_needs_no_models(tmp_path: Path) -> None:
    source = {"providers": {"cloud": {"kind": "openai", "any_model": True}}}
    config = load(source, environ={}, cwd=tmp_path)
    assert (config.default_provider, config.models, config.assistants) == ("cloud", (), ())
    source |= {"assistants": {"a": {"model": "whatever"}}}
    assert load(source, environ={}, cwd=tmp_path).assistants[0].model == "whatever"


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nport = 81\n")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    config = load(None, environ={}, cwd=deep)
    assert (config.path, config.server.port) == (path, 81)


def test_a_named_file_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 82\n")
    assert load("other.toml", environ={}, cwd=tmp_path).server.port == 82
    assert load(tmp_path / "other.toml", environ={}, cwd=tmp_path).server.port == 82


def test_a_mapping_is_read_like_a_file(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nport = 81\n")
    config = load({"server": {"host": "${WHERE}"}}, environ={"WHERE": "::1"}, cwd=tmp_path)
    assert (config.server.host, config.server.port, config.path) == ("::1", 8080, None)


def test_a_mapping_with_floats_has_exact_prices_too(tmp_path: Path) -> None:
    source = {"models": {"m": {"provider": "local", "input": 0.15}}}
    assert load(source, environ={}, cwd=tmp_path).models[0].price.input_picousd == 150_000


def test_a_config_is_given_back_as_it_is(tmp_path: Path) -> None:
    config = Config()
    assert load(config, environ={"API_ADAPTER_PORT": "1"}, cwd=tmp_path) is config
    assert problems(config, environ={"API_ADAPTER_PORT": "x"}, cwd=tmp_path) == ()


@pytest.mark.parametrize(
    "text,line",
    [
        ("\n[server]\nprot = 1\n", 'callboard.toml:3: [server] prot: unknown key; did you mean "port"?'),
        ("[sevrer]\n", 'callboard.toml:1: [sevrer]: unknown section; did you mean "server"?'),
        ('[server]\nport = "x"\n', "callboard.toml:2: [server] port: expected a whole number, got a string"),
        (
            "[server]\nport = 70000\n",
            "callboard.toml:2: [server] port: expected a whole number <= 65535, got 70000",
        ),
        (
            "[server]\nport = true\n",
            "callboard.toml:2: [server] port: expected a whole number, got true or false",
        ),
        (
            "[server]\ndrain_seconds = inf\n",
            "callboard.toml:2: [server] drain_seconds: expected a finite number",
        ),
        ('[server]\nhost = ""\n', "callboard.toml:2: [server] host: expected an address or a host name"),
        ("server = 1\n", "callboard.toml:1: [server]: expected a table"),
        ("models = 1\n", "callboard.toml:1: [models]: expected a table for each name"),
        (
            '[models."a\\nb"]\nprovider = "local"\n',
            "callboard.toml:1: [models.a\\nb]: a name needs printable characters",
        ),
        ('[log]\nformat = "xml"\n', 'callboard.toml:2: [log] format: expected "logfmt" or "json"'),
        (
            '[log]\nlevel = "loud"\n',
            'callboard.toml:2: [log] level: expected "debug", "info", "warn" or "error"',
        ),
        (
            '[store]\nurl = "postgresql://x"\n',
            "callboard.toml:2: [store] url: postgresql: comes in a later release; "
            'use "sqlite:///PATH" or "memory:"',
        ),
        (
            '[store]\nurl = "mango:x"\n',
            'callboard.toml:2: [store] url: mango: is no back end we know; use "sqlite:///PATH" or "memory:"',
        ),
        (
            '[limits]\nurl = "redis://x"\n',
            'callboard.toml:2: [limits] url: redis: comes in a later release; use "memory:"',
        ),
        (
            "[limits]\ncost_per_day_usd = -1\n",
            "callboard.toml:2: [limits] cost_per_day_usd: expected an amount of at least 0",
        ),
        (
            "[limits]\nparallel = 0\n",
            'callboard.toml:2: [limits] parallel: expected a whole number >= 1 or "unlimited", got 0',
        ),
        (
            '[limits]\nparallel = "none"\n',
            'callboard.toml:2: [limits] parallel: expected a whole number or "unlimited", got a string',
        ),
        (
            '[server]\ntrusted_proxies = ["10.0.0.0/8", "proxy"]\n',
            'callboard.toml:2: [server] trusted_proxies: "proxy": expected an address or a network',
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, line: str) -> None:
    assert lines_of(tmp_path, text) == [line]
    with pytest.raises(ConfigurationError) as caught:
        load(None, environ={}, cwd=tmp_path)
    assert str(caught.value) == line


def test_every_problem_is_told_in_the_order_of_lines(tmp_path: Path) -> None:
    text = '[models.m]\nprovider = "x"\n[server]\nport = "a"\nhots = 1\n[mpc]\n[log]\nfile = "${NOPE}"\n'
    starts = [line.split(": ")[0] for line in lines_of(tmp_path, text, {"LOG_LEVEL": "loud"})]
    assert starts == ['LOG_LEVEL="loud"', *(f"callboard.toml:{line}" for line in (2, 4, 5, 6, 8))]


def test_a_broken_table_does_not_make_what_refers_to_it_wrong(tmp_path: Path) -> None:
    text = (
        '[providers.p]\nkind = "openai"\nslots = 1\n'
        '[models.m]\nprovider = "p"\nspeed = 2\n[assistants.a]\nmodel = "m"\n'
    )
    assert [line.split(": ")[0] for line in lines_of(tmp_path, text)] == [
        "callboard.toml:3",
        "callboard.toml:6",
    ]


@pytest.mark.parametrize(
    "text,line",
    [
        ("[server\n", "callboard.toml:1: Expected ']' at the end of a table declaration"),
        ("\n[server]\nport = \n", "callboard.toml:3: Invalid value"),
        ("[server]\nport = 1\nport = 2\n", "callboard.toml:3: Cannot overwrite a value"),
        ('[server]\nhost = "', "callboard.toml:2: Unterminated string"),
    ],
)
def test_broken_toml_is_one_line_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    assert lines_of(tmp_path, text) == [line]


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "callboard.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    assert [str(each) for each in problems(None, environ={}, cwd=tmp_path)] == [
        "callboard.toml: not UTF-8, from byte 17 on"
    ]


def test_nesting_without_end_is_one_line(tmp_path: Path) -> None:
    assert lines_of(tmp_path, f"x = {'[' * 5000}{']' * 5000}\n") == ["callboard.toml: nested too deeply"]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^no\.toml: cannot be read: No such file or directory$"):
        load("no.toml", environ={}, cwd=tmp_path)


def test_nothing_secret_is_printed_with_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    shown = repr(load(None, environ={"CLOUD_KEY": "sk-1"}, cwd=tmp_path))
    assert "sk-1" not in shown
    assert "stage" not in shown
    assert "api_key=***" in shown


def test_the_dialect_of_a_provider_is_chosen_and_never_guessed() -> None:
    def api(table: dict[str, object]) -> str:
        config = load({"providers": {"up": {"kind": "openai", **table}}}, environ={}, cwd=Path("/"))
        (provider,) = config.providers
        assert isinstance(provider, OpenAIProvider)
        return provider.api

    assert api({}) == "chat"
    assert api({"api": "responses"}) == "responses"
    with pytest.raises(ConfigurationError, match='"chat" or "responses"'):
        api({"api": "respones"})
