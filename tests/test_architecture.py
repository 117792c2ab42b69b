"""The layers, enforced: who may import whom, how long files and functions are, what importing does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "callboard"
FILES = sorted(path for path in SOURCE.rglob("*.py"))

# layer → what it may import besides itself. The leaves are for everybody.
LEAVES = {"errors", "secret", "whole_file"}
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "secret": set(),
    "whole_file": set(),
    "kernel": set(),
    "domain": set(),
    "wire": {"domain"},
    "transport": set(),
    "limits": {"domain"},
    "store": {"domain"},
    "tools": {"domain", "transport"},
    "providers": {"domain", "wire", "transport"},
    "actors": {"kernel", "domain", "providers", "tools", "limits", "store"},
    "chats": {"domain", "wire", "transport", "providers", "store"},
    "config": {"domain"},
    "telemetry": {"kernel", "domain", "limits", "config"},
    "tool_wiring": {"kernel", "domain", "tools", "actors", "config"},
    "wiring": {
        "kernel",
        "domain",
        "providers",
        "tools",
        "limits",
        "store",
        "actors",
        "config",
        "transport",
        "tool_wiring",
    },
    "runtime": {
        "kernel",
        "domain",
        "providers",
        "tools",
        "store",
        "actors",
        "config",
        "telemetry",
        "wiring",
        "tool_wiring",
    },
    "serving": {
        "kernel",
        "domain",
        "wire",
        "transport",
        "actors",
        "chats",
        "store",
        "providers",
        "config",
        "runtime",
        "wiring",
    },
    "bench": {"domain", "wire", "transport"},
    "replay": {"domain", "wire", "providers", "tools", "store", "actors", "config", "runtime"},
    "cli": {
        "domain",
        "chats",
        "store",
        "config",
        "tools",
        "tool_wiring",
        "runtime",
        "serving",
        "bench",
        "replay",
    },
    "__init__": set(),
}
# third party → the only places that import it.
CONFINED = {
    "httpx2": {"transport"},
    "httpcore2": {"transport"},
    "httptools": {"transport", "serving"},
    "h2": {"transport"},
    "wsproto": {"serving"},
    "apsw": {"store"},
    "structlog": {"telemetry"},
    "uvicorn": set(),
    "mcp": {"tools"},
    "mcp_types": {"tools"},
    "pydantic": {"tools"},
    "rich": {"cli"},
    "httpx": set(),
    "xllamacpp": {"providers"},
    "trio": set(),
    "asyncio": {"serving", "kernel", "transport"},
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
SIDE_EFFECTS = (ast.For, ast.While, ast.With, ast.Try, ast.Raise, ast.Delete, ast.Global)


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer they reach into"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    layer = layer_of(path)
    assert layer in LAYERS, f"{layer} is not a layer: add it to the map, and to docs/architecture.md"
    allowed = LAYERS[layer] | LEAVES | {layer}
    for name in imports_of(ast.parse(path.read_text())):
        top, _, rest = name.partition(".")
        if top == "callboard" and rest:
            target = rest.partition(".")[0]
            if target in LAYERS:
                assert target in allowed, f"{name_of(path)} imports {name}: {layer} may not import {target}"
        elif top in CONFINED:
            assert layer in CONFINED[top], f"{name_of(path)} imports {top}"


def test_the_mcp_sdk_stays_in_its_folder() -> None:
    for path in FILES:
        if not name_of(path).startswith("tools/mcp/"):
            tops = {name.partition(".")[0] for name in imports_of(ast.parse(path.read_text()))}
            assert not tops & {"mcp", "mcp_types", "pydantic"}, name_of(path)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_importing_a_module_does_nothing_but_define(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        assert not isinstance(node, SIDE_EFFECTS), f"line {node.lineno} acts on import"
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), f"line {node.lineno} acts on import"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nobody_imports_for_the_type_checker_alone(path: Path) -> None:
    assert "TYPE_CHECKING" not in path.read_text(), "an import that only types need points the wrong way"


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    modules = {
        f"callboard.{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}": path for path in FILES
    }
    graph = {
        name: {each for each in imports_of(ast.parse(path.read_text())) if each in modules and each != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for each in sorted(graph[name]):
                visit(each, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "module, absent",
    [
        ("callboard", {"httpx2", "uvicorn", "structlog", "rich", "mcp", "xllamacpp", "anyio"}),
        ("callboard.kernel", {"httpx2", "uvicorn", "structlog", "callboard.domain", "callboard.config"}),
        (
            "callboard.runtime",
            {"httpx2", "httpcore2", "uvicorn", "mcp", "xllamacpp", "callboard.serving", "trio", "apsw"},
        ),
    ],
)
def test_a_light_import_stays_light(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert absent & set(loaded) == set()
