"""An MCP server that writes down what it does, run as a script with the file's path as its argument.

``note`` and ``free`` write their name and text, ``slow`` does too and never answers. The file outlives the
server, and so tells how often anything was done. Of the tools that further arguments name it claims that they
only read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

NAMES = ("free", "note", "slow")
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}


def described(name: str, claimed: list[str]) -> dict[str, object]:
    """A tool as it is listed."""
    hints = {"annotations": {"readOnlyHint": True}} if name in claimed else {}
    return {"name": name, "inputSchema": SCHEMA, **hints}


def main() -> None:
    """Answer until standard input ends."""
    ledger = Path(sys.argv[1])
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params") or {}
        if "id" not in message:
            continue
        result: dict[str, object]
        if method == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "ledger", "version": "1"},
            }
        elif method == "tools/list":
            result = {"tools": [described(name, sys.argv[2:]) for name in NAMES]}
        elif method == "tools/call":
            with ledger.open("a") as file:
                file.write(f"{params['name']} {params['arguments'].get('text', '')}\n")
            if params["name"] == "slow":
                continue
            result = {"content": [{"type": "text", "text": f"done: {params['name']}"}]}
        else:
            result = {"code": -32601, "message": "Method not found"}
        what = "error" if "code" in result else "result"
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], what: result}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
