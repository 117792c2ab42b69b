"""What a caller may use."""

from __future__ import annotations

import pytest

from callboard.domain.principal import LOCAL, SCOPES, Principal
from callboard.errors import UnknownModel


def principal(*models: str) -> Principal:
    return Principal(key_id="k", tenant="t", models=models)


@pytest.mark.parametrize(
    "models, model, may",
    [
        (("gpt-4",), "gpt-4", True),
        (("gpt-4",), "gpt-4o", False),
        (("gpt-4",), "GPT-4", False),
        (("gpt-4",), "openai:gpt-4", False),
        (("gpt-*",), "gpt-4o", True),
        (("gpt-*",), "gpt-", True),
        (("gpt-*",), "gpt", False),
        (("a", "b*"), "bc", True),
        (("*",), "", True),
        ((), "gpt-4", False),
        (("",), "gpt-4", False),
    ],
)
def test_a_model_is_named_or_begins_as_a_pattern_says(models: tuple[str, ...], model: str, may: bool) -> None:
    assert principal(*models).may_ask(model) is may
    if may:
        principal(*models).check_model(model)
    else:
        with pytest.raises(UnknownModel, match="is not configured"):
            principal(*models).check_model(model)


def test_without_lists_all_is_allowed() -> None:
    free = Principal(key_id="k", tenant="t")
    assert free.may_ask("anything")
    assert free.may_call("anything")
    assert free.scopes == {"client"}
    assert LOCAL.scopes == set(SCOPES)


def test_tools_are_named_exactly() -> None:
    some = Principal(key_id="k", tenant="t", tools=("add",))
    assert [some.may_call(name) for name in ("add", "ad", "add2", "")] == [True, False, False, False]
    assert not Principal(key_id="k", tenant="t", tools=()).may_call("add")
