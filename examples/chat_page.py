"""Chat with a running server as a page does: `python chat_page.py 127.0.0.1:8080 "Hello" "And now?"`."""

import json
import sys
from http.client import HTTPConnection

from callboard.chats import FrameParser


def main(address: str, *texts: str) -> None:
    server, thread = HTTPConnection(address), None
    for text in texts:
        body = json.dumps({"user_input": text, "thread_id": thread})
        server.request("POST", "/chat", body, {"content-type": "application/json"})
        answer, parser = server.getresponse(), FrameParser()
        while piece := answer.read1():
            for event in parser.feed(piece):
                thread = event.get("threadId", thread)
                print(event.get("delta", event.get("user_action", "")), end="", flush=True)
        print()


main(*sys.argv[1:])
