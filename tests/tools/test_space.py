"""The one tool space: whose name is whose, what is offered to whom, what a changed definition comes to."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.observation import ToolDisabled, ToolNameTaken
from callboard.domain.tools import ApprovalPolicy, ToolDefinition, ToolHome
from callboard.errors import ConfigurationError
from callboard.tools.definitions import SourceTool
from callboard.tools.source import ToolTraits
from callboard.tools.space import SourcePolicy, ToolSpace

POLICY = SourcePolicy()


class Spaces:
    """A space of the servers ``a`` and ``b``, and what it remarked."""

    def __init__(self, *own: str) -> None:
        self.remarks: list[ToolDisabled] = []
        self.taken: list[ToolNameTaken] = []
        self.space = ToolSpace(["a", "b"], own=own, observe=self.observe)

    def observe(self, told: ToolDisabled | ToolNameTaken) -> None:
        if isinstance(told, ToolDisabled):
            self.remarks.append(told)
        else:
            self.taken.append(told)

    @property
    def shown(self) -> list[str]:
        return [each.name for each in self.space.offered()]

    def disabled(self) -> list[tuple[str, str]]:
        return [(each.source, each.tool) for each in self.remarks]


def tools(*names: str, description: str = "") -> list[SourceTool]:
    return [SourceTool(name=name, description=description) for name in names]


def own(*names: str) -> list[tuple[ToolDefinition, ToolTraits]]:
    return [(ToolDefinition(name=name), ToolTraits()) for name in names]


def test_a_name_that_is_unique_is_plain_and_one_that_is_not_says_whose_it_is() -> None:
    spaces = Spaces()
    spaces.space.put_own(own("z", "search"))
    spaces.space.put("b", tools("search", "only_b", "both"), POLICY)
    spaces.space.put("a", tools("both", "only_a"), POLICY)
    assert spaces.shown == ["z", "search", "a__both", "only_a", "b__both", "only_b", "b__search"]
    found = spaces.space.find("b__search")
    assert found is not None
    assert (found.source, found.tool) == ("b", "search")
    assert spaces.space.find("both") is None
    only = spaces.space.find("only_a")
    assert only is not None
    assert only == spaces.space.find("a__only_a")


def test_the_order_does_not_depend_on_who_comes_first() -> None:
    first, second = Spaces(), Spaces()
    for each, order in ((first, "ab"), (second, "ba")):
        for source in order:
            each.space.put(source, tools("y", "x", f"own_{source}"), POLICY)
    assert first.shown == second.shown


def test_a_plain_name_is_never_handed_on_to_another_server() -> None:
    spaces = Spaces()
    spaces.space.put("a", tools("pay"), POLICY)
    assert spaces.shown == ["pay"]
    spaces.space.withdraw("a")
    spaces.space.put("b", tools("pay"), POLICY)
    assert spaces.shown == ["b__pay"]
    assert spaces.space.find("pay") is None


def test_a_name_that_a_program_may_have_later_is_kept_for_it_and_that_is_told_once() -> None:
    spaces = Spaces("pay")
    for _ in range(2):
        spaces.space.put("a", tools("pay", "look"), POLICY)
        assert spaces.shown == ["look", "a__pay"]
        spaces.space.withdraw("a")
    spaces.space.put_own(own("pay"))
    assert spaces.shown == ["pay"]
    assert [(each.source, each.tool, each.name) for each in spaces.taken] == [("a", "pay", "a__pay")]


def test_a_program_that_is_named_like_a_servers_tool_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="named like one of the MCP server 'a'"):
        Spaces("a__pay")


def test_what_is_said_twice_or_cannot_be_named_is_disabled_and_told_once() -> None:
    spaces = Spaces()
    listed = [*tools("x.y", "x_y", "a__b", "good"), SourceTool(name="odd", input_schema=Raw(b"[]"))]
    for _ in range(3):
        assert spaces.space.put("a", listed, POLICY) == 2
        spaces.space.withdraw("a")
    assert spaces.disabled() == [("a", "x_y"), ("a", "a__b"), ("a", "odd")]


def test_a_flood_of_bad_names_is_a_few_lines_each_in_one_line() -> None:
    spaces = Spaces()
    spaces.space.put("a", tools(*(f"bad name\n\x1b[31m\u202e{n}" for n in range(1000))), POLICY)
    assert len(spaces.remarks) == 11
    assert all(each.tool.isprintable() and len(each.tool) < 300 for each in spaces.remarks)
    assert spaces.remarks[-1].reason == "990 more tools are not offered either; see `callboard tools list`"


def test_names_that_could_only_be_mistaken_are_refused_from_the_start() -> None:
    spaces = Spaces()
    with pytest.raises(ConfigurationError, match="named like one of the MCP server 'a'"):
        spaces.space.put_own(own("a__x"))
    with pytest.raises(ConfigurationError, match="two tools are named 'x'"):
        spaces.space.put_own(own("x", "x"))


def test_lists_of_what_is_allowed_and_denied_hold_by_the_servers_names() -> None:
    spaces = Spaces()
    policy = SourcePolicy(allow=("read*", "write", "list"), deny=("read_secret", "li*"))
    assert spaces.space.put("a", tools("read_file", "read_secret", "write", "list", "drop"), policy) == 2
    assert spaces.shown == ["read_file", "write"]
    assert spaces.remarks == []
    reports = {each.name: each for each in spaces.space.reports("a")}
    assert {name for name, each in reports.items() if each.state == "available"} == {
        "a__read_file",
        "a__write",
    }
    assert "denies" in reports["a__drop"].reason
    spaces.space.withdraw("a")
    assert spaces.space.reports("a") == ()


def test_keys_and_assistants_are_offered_what_they_may_use_by_full_names() -> None:
    spaces = Spaces()
    spaces.space.put_own(own("add"))
    spaces.space.put("a", tools("x", "y"), POLICY)
    spaces.space.put("b", tools("z"), POLICY)

    def names(assistants: tuple[str, ...] | None, keys: tuple[str, ...] | None) -> list[str]:
        return [each.name for each in spaces.space.offered(assistants, keys)]

    assert names(None, None) == ["add", "x", "y", "z"]
    assert names(("a__*", "add"), None) == ["add", "x", "y"]
    assert names(("a__*",), ("a__y", "b__z")) == ["y"]
    assert names(("x",), None) == []  # a plain name is whoever's comes first: it allows nothing
    assert names((), None) == []


def test_the_clients_own_tools_win() -> None:
    spaces = Spaces()
    spaces.space.put("a", tools("x", "y"), POLICY)
    assert [each.name for each in spaces.space.offered(besides={"x", "other"})] == ["y"]


def test_a_changed_definition_is_disabled_until_it_is_back_or_approved() -> None:
    spaces = Spaces()
    old, new = tools("x", description="old"), tools("x", description="new")
    spaces.space.put("a", old, POLICY)
    assert spaces.space.put("a", new, POLICY) == 0
    assert spaces.shown == []
    assert new[0].fingerprint in spaces.remarks[0].reason
    spaces.space.withdraw("a")  # a reconnection changes nothing of that
    assert spaces.space.put("a", new, POLICY) == 0
    assert spaces.space.put("a", old, POLICY) == 1
    approved = SourcePolicy(pins={"x": f"sha256:{new[0].fingerprint}"})
    spaces.space.withdraw("a")
    assert spaces.space.put("a", new, approved) == 1
    assert len(spaces.remarks) == 1


def test_a_pin_of_the_operators_holds_from_the_first_time() -> None:
    spaces = Spaces()
    assert spaces.space.put("a", tools("x"), SourcePolicy(pins={"x": "0" * 64})) == 0


def test_what_a_tool_claims_is_believed_only_where_the_server_is_trusted() -> None:
    claims = [replace(each, traits=ToolTraits(idempotent=True)) for each in tools("x")]
    for trusted in (False, True):
        space = ToolSpace(["a"])
        space.put("a", claims, SourcePolicy(trusted=trusted, timeout_s=5))
        place = space.find("x")
        assert place is not None
        assert place.traits == ToolTraits(idempotent=trusted, timeout_s=5)


def test_more_is_asked_of_the_model_than_of_the_tool() -> None:
    space = ToolSpace(["a"])
    space.put("a", tools("x"), SourcePolicy(parameters={"aiContext": "Why?"}))
    place = space.find("x")
    assert place is not None
    assert place.added == ("aiContext",)
    (shown,) = space.offered()
    assert json.loads(bytes(shown.input_schema))["required"] == ["aiContext"]


def test_what_is_offered_is_put_together_once_and_again_only_when_it_changes() -> None:
    names = [f"s{n}" for n in range(100)]
    space = ToolSpace(names)
    for name in names:
        space.put(name, tools(*(f"{name}_t{n}" for n in range(10))), POLICY)
    assert len(space.offered()) == 128
    allowed = tuple(f"s{n}__*" for n in range(0, 100, 7))
    clients = frozenset(f"mine{n}" for n in range(20))
    assert len(space.offered(allowed, ("s7__*", "s14__*"), besides=clients)) == 20
    again = space.offered(allowed, ("s7__*", "s14__*"), besides=clients)
    assert again is space.offered(allowed, ("s7__*", "s14__*"))  # looked up, not put together
    space.put("s7", tools("other"), POLICY)
    assert len(space.offered(allowed, ("s7__*", "s14__*"), besides=clients)) == 11


def test_a_server_that_changes_its_names_all_the_time_comes_to_an_end() -> None:
    space = ToolSpace(["a"])
    counts = [space.put("a", tools(*(f"t{n}_{turn}" for n in range(1000))), POLICY) for turn in range(6)]
    assert counts == [1000] * 5 + [0]
    assert space.put("a", tools("t0_0"), POLICY) == 1


def test_tools_that_wait_are_offered_to_those_who_can_approve_alone_and_that_is_said_once() -> None:
    spaces = Spaces()
    policy = SourcePolicy(approval=ApprovalPolicy(never=("free",)))
    spaces.space.put("a", tools("free", "note"), policy)
    for _ in range(2):
        assert [each.name for each in spaces.space.offered(approving=False)] == ["free"]
        spaces.space.put("b", tools("x"), POLICY)  # everything is chosen anew
        spaces.space.withdraw("b")
    assert spaces.shown == ["free", "note"]
    assert spaces.disabled() == [("a", "note")]
    assert 'approve = "never" in [mcp.servers.a]' in spaces.remarks[0].reason
    homes = [each.home for each in spaces.space.offered()]
    assert homes == [ToolHome(server="a", tool="free"), ToolHome(server="a", tool="note", asks=True)]


def test_a_server_with_many_tools_that_wait_is_a_few_lines_and_only_once() -> None:
    spaces = Spaces()
    policy = SourcePolicy(approval=ApprovalPolicy(always=("*",)))
    spaces.space.put("a", tools(*(f"t{number}" for number in range(100))), policy)
    for keys in (None, ("a__*",), ("*",)):
        assert spaces.space.offered(None, keys, approving=False) == ()
    assert len(spaces.remarks) == 11
    assert all(each.waits for each in spaces.space.reports("a"))


@pytest.mark.parametrize(
    "trusted, claims, spares, asks",
    [
        (True, True, True, False),
        (False, True, True, True),  # a claim
        (True, False, True, True),
        (True, True, False, True),  # the operator says that all wait
    ],
)
def test_what_only_reads_is_spared_where_that_is_believed(
    trusted: bool, claims: bool, spares: bool, asks: bool
) -> None:
    space = ToolSpace(["a"])
    policy = SourcePolicy(trusted=trusted, approval=ApprovalPolicy(always=("*",)), spares_reading=spares)
    space.put("a", [SourceTool(name="x", read_only=claims)], policy)
    (tool,) = space.offered()
    assert tool.home == ToolHome(server="a", tool="x", asks=asks)
    assert [each.name for each in space.offered(approving=False)] == ([] if asks else ["x"])


@pytest.mark.parametrize(
    "policy, asks",
    [
        (ApprovalPolicy(), ""),
        (ApprovalPolicy(always=("*",)), "abc"),
        (ApprovalPolicy(always=("a",)), "a"),
        (ApprovalPolicy(never=("a",)), "bc"),
        (ApprovalPolicy(always=("a",), never=("a", "b")), "ac"),
        (ApprovalPolicy(never=()), "abc"),
    ],
)
def test_who_waits_is_said_by_two_lists(policy: ApprovalPolicy, asks: str) -> None:
    assert "".join(tool for tool in "abc" if policy.asks(tool)) == asks
