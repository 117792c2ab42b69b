"""An MCP server in plain Python, honest or hostile, over standard input and output; starts in a moment.

Run as a script; the first argument says what it is like, see `MOODS`. It speaks the wire of 2025-06-18, or in
one mood that of 2025-11-25, and answers what it does not know with an error, as old servers do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Message = dict[str, object]


def say(message: Message) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name: str, description: str = "", **more: object) -> Message:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


HINTED = {"annotations": {"idempotentHint": True}}
TOOLS = [
    tool("echo", "Say it again."),
    tool("pid", "The server's process."),
    tool("hang", "Never answer."),
    tool("die", "End at once."),
    tool("environment", "Every variable."),
    tool("flood", "Too much of everything."),
    tool("grandchild", "Leave somebody behind."),
    tool("count", "How often it was called.", **HINTED),
    tool("die_once", "End at the first call of all processes.", **HINTED),
    tool("cancelled", "Which requests were cancelled."),
    tool("sample", "Ask the host's model, and wait for it."),
]


class Server:
    def __init__(self, mood: str, argument: str) -> None:
        self.mood = mood
        self.argument = argument
        self.listed = 0
        self.counted = 0
        self.cancelled: list[object] = []
        self.refused = 0

    def run(self) -> None:
        MOODS[self.mood](self)
        for line in sys.stdin:
            message = json.loads(line)
            if "method" not in message:
                self.refused += "error" in message
            elif message["method"] == "notifications/initialized" and self.mood == "presuming":
                say({"id": "asked", "method": "sampling/createMessage", "params": SAMPLING})
            elif message["method"] == "notifications/cancelled":
                self.cancelled.append(message["params"]["requestId"])
            elif "id" in message:
                self.answer(message)

    def answer(self, message: Message) -> None:
        method, number = message["method"], message["id"]
        params = message.get("params") or {}
        assert isinstance(params, dict)
        if method == "initialize":
            info = {"name": "raw", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            result: Message = {
                "protocolVersion": "2025-11-25" if self.mood == "newer" else "2025-06-18",
                "capabilities": capabilities,
                "serverInfo": info,
            }
        elif method == "tools/list":
            result = self.page(params.get("cursor"))
        elif method == "tools/call":
            text = self.call(params["name"], params.get("arguments") or {})
            if text is None:
                return
            result = {"content": [{"type": "text", "text": text}], "isError": params["name"] == "wrong"}
        else:
            say({"id": number, "error": {"code": -32601, "message": "Method not found"}})
            return
        say({"id": number, "result": result})

    def ask(self, method: str, params: Message) -> str:
        """Ask the client for something in the middle of a call; its answer, as JSON."""
        say({"id": "asked", "method": method, "params": params})
        for line in sys.stdin:
            message = json.loads(line)
            if message.get("id") == "asked":
                return json.dumps(message.get("result", message.get("error")))
        return ""

    def page(self, cursor: object) -> Message:  # noqa: PLR0911 - one for each mood
        self.listed += 1
        if self.mood == "pages":
            at = int(str(cursor or 0))
            page: Message = {"tools": [tool(f"t{at}")]}
            return page if at == 4 else {**page, "nextCursor": str(at + 1)}
        if self.mood == "endless":
            return {"tools": [tool(f"t{self.listed}")], "nextCursor": str(self.listed)}
        if self.mood == "many":
            return {"tools": [tool(f"t{each}") for each in range(int(self.argument))]}
        if self.mood == "changing":
            return {"tools": [tool("echo", f"Version {self.listed}"), tool("same", "As ever.")]}
        if self.mood == "upgrade":
            with Path(self.argument).open("a+") as file:
                file.seek(0)
                version = len(file.read())
                file.write("x")
            return {"tools": [tool("echo", f"Version {min(version, 1)}"), tool("die")]}
        if self.mood == "names":
            names = [
                "good",
                "with.dot",
                "with/slash",
                "a__b",
                "with space",
                "\x1b[31mred",
                "\u202ex",
                "n" * 700,
            ]
            outside = {"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/x"}}}
            more = [tool("good", "Again."), {**tool("outside"), "inputSchema": outside}, tool("with_dot")]
            return {"tools": [*(tool(name, "\x1b[31mRed\u202e text\x00") for name in names), *more]}
        return {"tools": TOOLS}

    def call(self, name: str, arguments: Message) -> str | None:  # noqa: C901, PLR0911 - one for each tool
        match name:
            case "pid":
                return str(os.getpid())
            case "hang":
                return None
            case "die":
                os._exit(3)
            case "environment":
                return json.dumps(dict(os.environ))
            case "flood":
                flood(str(arguments.get("what")))
                return "flooded"
            case "grandchild":
                sleeper = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
                child = subprocess.Popen([sys.executable, "-c", sleeper], stdout=subprocess.PIPE, text=True)
                assert child.stdout is not None
                return child.stdout.readline().strip()
            case "count":
                self.counted += 1
                return str(self.counted)
            case "die_once":
                if not Path(self.argument).exists():
                    Path(self.argument).touch()
                    os._exit(3)
                return "alive"
            case "answers":
                return f"{self.refused} refused"
            case "sample":
                return self.ask("sampling/createMessage", SAMPLING)
            case "cancelled":
                return json.dumps(self.cancelled)
        return json.dumps(arguments)


SAMPLING = {"messages": [{"role": "user", "content": {"type": "text", "text": "capital?"}}], "maxTokens": 50}


def flood(what: str) -> None:
    if what == "line":
        while True:
            os.write(1, b"x" * 65536)
    if what == "stderr":
        for _ in range(256):
            os.write(2, b"a line of it\n" * 5000)
    if what == "long":
        os.write(2, b"y" * 3_000_000 + b"\n")
    if what == "junk":
        os.write(1, b"hello, I am no JSON\n\xff\xfe\n{}\n[]\nnull\n")


def _never_answers(_: Server) -> None:
    while True:
        time.sleep(60)


def _stubborn(_: Server) -> None:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def _immortal(server: Server) -> None:
    """Ignores every signal it can and the end of its input."""
    _stubborn(server)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            server.answer(message)
    while True:
        time.sleep(60)


def _honest(_: Server) -> None:
    return


def _quits(_: Server) -> None:
    sys.exit(7)


MOODS: dict[str, Callable[[Server], None]] = {
    "honest": _honest,
    "hung": _never_answers,
    "immortal": _immortal,
    "quits": _quits,
    **dict.fromkeys(
        ("pages", "endless", "many", "changing", "names", "upgrade", "newer", "presuming"), _honest
    ),
}

if __name__ == "__main__":
    Server(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "").run()
