"""What of our environment a program gets to see."""

from __future__ import annotations

import pytest

from callboard.domain.tool_process import Variable
from callboard.secret import Secret
from callboard.tools.process_environment import declared, minimal

OURS = {"KEY": "from-environment", "OPENAI_API_KEY": "secret", "PATH": "/bin", "HOME": "/home/x", "N": "4"}


def test_a_program_gets_what_every_program_needs_and_no_more() -> None:
    assert minimal(OURS) == {"PATH": "/bin", "HOME": "/home/x", "LC_CTYPE": "C.UTF-8"}


def test_a_function_of_the_shell_is_not_handed_on() -> None:
    assert "TERM" not in minimal({"TERM": "() { :;}; echo pwned"})


@pytest.mark.parametrize(
    "operator, program, expected",
    [
        (Variable(name="KEY", value=Secret("configured")), Variable(name="KEY"), {"KEY": "configured"}),
        (None, Variable(name="KEY", default=Secret("d")), {"KEY": "from-environment"}),
        (Variable(name="KEY"), None, {"KEY": "from-environment"}),
        (Variable(name="NEW", default=Secret("o")), Variable(name="NEW", default=Secret("p")), {"NEW": "o"}),
        (Variable(name="NEW"), Variable(name="NEW", default=Secret("p")), {"NEW": "p"}),
        (None, Variable(name="NEW", default=Secret("p")), {"NEW": "p"}),
        (None, Variable(name="NEW"), {}),
        (None, None, {}),
        (Variable(name="NEW", value=Secret("")), Variable(name="NEW", default=Secret("p")), {"NEW": ""}),
    ],
)
def test_the_configuration_goes_before_the_environment_and_that_before_defaults(
    operator: Variable | None, program: Variable | None, expected: dict[str, str]
) -> None:
    operators = () if operator is None else (operator,)
    programs = () if program is None else (program,)
    assert declared(operators, programs, OURS) == expected


def test_a_value_from_the_environment_has_its_declared_type() -> None:
    assert declared((), (Variable(name="N", type="integer"),), OURS) == {"N": "4"}
    with pytest.raises(ValueError, match="environment variable KEY: expected a whole number") as refused:
        declared((), (Variable(name="KEY", type="integer"),), OURS)
    assert "from-environment" not in str(refused.value)


def test_the_operators_type_counts() -> None:
    both = ((Variable(name="KEY"),), (Variable(name="KEY", type="integer"),))
    assert declared(*both, OURS) == {"KEY": "from-environment"}


def test_a_required_variable_without_a_value_is_missing() -> None:
    with pytest.raises(ValueError, match="environment variable NEW is required and has no value"):
        declared((Variable(name="NEW", required=True),), (), OURS)
    given = declared(
        (Variable(name="NEW", required=True),), (Variable(name="NEW", default=Secret("p")),), OURS
    )
    assert given == {"NEW": "p"}
