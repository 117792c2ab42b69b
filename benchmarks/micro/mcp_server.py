"""The MCP server of `benchmarks.micro.mcp_tools`: ten tools, each of which says its arguments again.

Plain Python that imports nothing but ``json``, so that a hundred of them start in a moment. It speaks the
wire of 2025-11-25.
"""

from __future__ import annotations

import json
import sys

TOOLS = 10
NOTHING = "Method not found"


def tool(number: int) -> dict[str, object]:
    """A definition of the length that is usual."""
    text = {"type": "string", "description": "What is looked for, in the words of whoever asks for it."}
    count = {"type": "integer", "description": "How many are wanted at most.", "minimum": 1, "maximum": 100}
    where = {"type": "string", "enum": ["here", "there", "everywhere"], "description": "Where to look."}
    return {
        "name": f"{sys.argv[1]}_find_{number}",
        "description": f"Look things up in catalogue {number}, and return what was found and where. " * 2,
        "inputSchema": {
            "type": "object",
            "properties": {"text": text, "count": count, "where": where},
            "required": ["text"],
        },
    }


def answer(method: str, params: dict[str, object]) -> dict[str, object] | None:
    """The result of a request."""
    if method == "initialize":
        info = {"name": "benchmark", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [tool(number) for number in range(TOOLS)]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}
    return None


def main() -> None:
    """Answer until there is no more input."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message["method"], message.get("params") or {})
        said = {"error": {"code": -32601, "message": NOTHING}} if result is None else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)


if __name__ == "__main__":
    main()
