"""callboard.kernel.tree: a supervision tree is a value."""

import pytest

from callboard.kernel import Child, Supervisor


def test_equal_trees_are_equal() -> None:
    first, second = (Supervisor(name="root", children=(Child(name="a", start=object),)) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)


def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two children of one name"):
        Supervisor(name="root", children=(Child(name="a", start=object), Child(name="a", start=object)))
