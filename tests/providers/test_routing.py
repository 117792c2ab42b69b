"""From a model's name to a provider."""

import pytest

from callboard.domain.model import ModelSpec, ModelTraits
from callboard.errors import ConfigurationError, UnknownModel, UpstreamOverloaded
from callboard.providers.breaker import Breaker, Outcome
from callboard.providers.routing import Health, RouteTable

FAST = ModelSpec(name="fast", provider="acme", upstream_name="acme-mini-4", fallbacks=("spare", "fast"))
SPARE = ModelSpec(name="spare", provider="other", upstream_name="spare-1", traits=ModelTraits(tools=False))
LOCAL = ModelSpec(name="llama3:8b", provider="acme", upstream_name="llama3:8b")
MODELS = (FAST, SPARE, LOCAL)


def table(catch_all: str | None = None) -> RouteTable:
    return RouteTable(MODELS, providers={"acme", "other"}, catch_all=catch_all)


@pytest.mark.parametrize(
    "name, expected",
    [
        pytest.param("fast", (FAST, SPARE), id="own provider, then fallbacks, each once"),
        pytest.param("spare", (SPARE,), id="no fallbacks"),
        pytest.param("llama3:8b", (LOCAL,), id="a name with a separator in it"),
        pytest.param("acme:fast", (FAST,), id="addressed provider, alone"),
        pytest.param("acme/fast", (FAST,), id="addressed with a slash"),
        pytest.param("acme:acme-mini-4", (FAST,), id="the upstream's own name"),
        pytest.param("acme:llama3:8b", (LOCAL,), id="addressed, with a separator in the name"),
    ],
)
def test_a_name_leads_to_its_candidates(name: str, expected: tuple[ModelSpec, ...]) -> None:
    assert table().candidates(name) == expected
    assert table(catch_all="other").candidates(name) == expected


@pytest.mark.parametrize(
    "name, upstream_name",
    [
        pytest.param("gpt-unheard-of", "gpt-unheard-of", id="as it is"),
        pytest.param("vendor/model:free", "vendor/model:free", id="separators that name no provider"),
        pytest.param("other:new", "new", id="addressed catch-all"),
        pytest.param("other/vendor/new", "vendor/new", id="only the provider is taken off"),
    ],
)
def test_the_catch_all_takes_unknown_names(name: str, upstream_name: str) -> None:
    expected = ModelSpec(name=name, provider="other", upstream_name=upstream_name)
    assert table(catch_all="other").candidates(name) == (expected,)


@pytest.mark.parametrize("catch_all", [None, "other"])
def test_the_catch_all_does_not_stand_in_for_an_addressed_provider(catch_all: str | None) -> None:
    with pytest.raises(UnknownModel):
        table(catch_all).candidates("acme:spare")


@pytest.mark.parametrize("name", ["", ":", "acme:", "/fast", "Fast"])
def test_odd_names_lead_nowhere(name: str) -> None:
    with pytest.raises(UnknownModel):
        table().candidates(name)


def test_an_unknown_name_is_answered_with_similar_ones() -> None:
    with pytest.raises(UnknownModel, match=r"model 'fsat' is not configured; did you mean 'fast'\?"):
        table().candidates("fsat")


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UnknownModel, match="provider 'nobody' not found"):
        table().candidates("nobody:fast")


@pytest.mark.parametrize(
    "models, catch_all, message",
    [
        pytest.param((FAST, SPARE, FAST), None, "model 'fast' is configured twice", id="twice"),
        pytest.param((FAST,), None, "model 'fast': fallback 'spare' is not configured", id="fallback"),
        pytest.param(
            (ModelSpec(name="x", provider="gone", upstream_name="x"),),
            None,
            "model 'x': provider 'gone' is not configured",
            id="provider",
        ),
        pytest.param((), "gone", "the catch-all provider 'gone' is not configured", id="catch-all"),
    ],
)
def test_a_table_that_leads_nowhere_is_refused(
    models: tuple[ModelSpec, ...], catch_all: str | None, message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RouteTable(models, providers={"acme", "other"}, catch_all=catch_all)
    assert str(refused.value) == message


def test_the_models_are_listed_in_the_operators_order() -> None:
    assert table().models == MODELS


def health() -> Health:
    return Health({"acme": Breaker(), "other": Breaker()})


def fail(subject: Health, model: ModelSpec, times: int) -> None:
    for _ in range(times):
        choice = subject.choose((model,), now_s=0.0)
        assert choice is not None
        subject.record(choice, Outcome.BAD, now_s=0.0)


def chosen(subject: Health, *, now_s: float = 0.0, tried: tuple[str, ...] = ()) -> str | None:
    choice = subject.choose((FAST, SPARE), now_s=now_s, tried=tried)
    return choice.spec.name if choice is not None else None


def test_the_first_healthy_candidate_is_chosen() -> None:
    subject = health()
    assert chosen(subject) == "fast"
    fail(subject, FAST, 5)
    assert chosen(subject) == "spare"
    assert subject.snapshot() == {"acme": "open", "other": "closed"}


def test_what_was_tried_is_not_chosen_again() -> None:
    subject = health()
    assert chosen(subject, tried=("fast",)) == "spare"
    assert chosen(subject, tried=("fast", "spare")) is None


def test_a_recovering_provider_is_probed_by_its_own_models_requests() -> None:
    subject = health()
    fail(subject, FAST, 5)
    assert chosen(subject, now_s=1.0) == "fast"
    assert chosen(subject, now_s=1.0) == "spare"


def test_when_every_provider_rests_the_refusal_says_when_to_come_back() -> None:
    subject = health()
    fail(subject, FAST, 5)
    fail(subject, SPARE, 5)
    assert chosen(subject) is None
    refusal = subject.resting((FAST, SPARE), now_s=0.0)
    assert isinstance(refusal, UpstreamOverloaded)
    assert refusal.retry_after_s == 1.0
    assert "'fast'" in str(refusal)
