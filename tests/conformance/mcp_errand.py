"""What MCP's conformance suite starts as the client where the client is in the process of the test.

    python -I -S mcp_errand.py PORT URL

It sends what it was started with to PORT, where `tests.conformance.mcp_oauth_client` does the work, and says
and ends as it is told. Starting it costs next to nothing, and the suite starts all its scenarios at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(port: str, url: str) -> int:
    names = ("MCP_CONFORMANCE_SCENARIO", "MCP_CONFORMANCE_CONTEXT")
    errand = {"url": url, **{name: os.environ.get(name, "") for name in names}}
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.sendall(json.dumps(errand).encode() + b"\n")
        with connection.makefile() as answer:
            said = json.loads(answer.readline())
    print(said["text"])  # noqa: T201 - the suite reads it
    return 1 if said["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
