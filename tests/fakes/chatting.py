"""A company behind its server whose models are overheard, and pages that chat with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

import callboard
from callboard.chats import ConversationManager, FrameParser
from callboard.chats.frames import SEPARATOR
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import text_of
from callboard.providers.handler import ProviderCall
from callboard.providers.script import Script
from callboard.providers.scripted import ScriptedAnswer, ScriptedHandler
from callboard.providers.settings import ProviderSettings
from tests.fakes.company import Stage
from tests.fakes.served import Carrier, Served, served

TITLES = {"default": {"model": "demo-model"}, "titles": {"model": "titles-model"}}


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


class Overhearing(ScriptedHandler):
    """Remembers what it was asked.

    Attributes:
        requests: In order.
    """

    def __init__(self, name: str, script: Script) -> None:
        super().__init__(ProviderSettings(name=name, kind="scripted"), script=script)
        self.requests: list[GenerationRequest] = []

    @asynccontextmanager
    async def call_api(self, call: ProviderCall) -> AsyncIterator[ScriptedAnswer]:
        self.requests.append(call.request)
        async with super().call_api(call) as answer:
            yield answer


class Overheard(Stage):
    """The model that answers and the one that finds titles, both overheard."""

    def __init__(self, demo: Script, titles: Script) -> None:
        super().__init__()
        self.demo, self.titles = Overhearing("demo", demo), Overhearing("titles", titles)
        self.handlers = {"demo": self.demo, "titles": self.titles}


@asynccontextmanager
async def serving(
    script: Script | None = None, titles: Script | None = None, *, carrier: Carrier = "own", **config: object
) -> AsyncIterator[tuple[Served, Overheard]]:
    stage = Overheard(script or Script(), titles or Script())
    with anyio.fail_after(15):
        chosen: dict[str, object] = {"assistants": TITLES, **config}
        async with served(stage, tools=[add], config=chosen, carrier=carrier) as server:
            yield server, stage


def frames(body: bytes) -> list[Mapping[str, object]]:
    """The events of a whole stream, of which nothing may be left over."""
    assert body.endswith(SEPARATOR)
    parser = FrameParser()
    found = parser.feed(body)
    assert parser.unreadable == 0
    assert [event["type"] in ("response_done", "error") for event in found] == [
        *[False] * (len(found) - 1),
        True,
    ]
    return found


async def said(
    server: Served, text: str, thread: str | None = None, **more: object
) -> list[Mapping[str, object]]:
    asked = {"user_input": text, "thread_id": thread, **more}
    answer = await server.client.post("/chat", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return frames(answer.content)


def kinds(events: list[Mapping[str, object]]) -> list[object]:
    return [event["type"] for event in events]


async def messages(server: Served, thread: object) -> list[tuple[str, str]]:
    got = await server.client.get(f"/chat?thread_id={thread}")
    assert got.status_code == 200
    document = got.json()
    assert document["threadId"] == thread
    return [(each["role"], each["text"]) for each in document["messages"]]


def manager_of(server: Served) -> ConversationManager:
    return ConversationManager(server.runtime.wiring.store)


def prompts(handler: Overhearing) -> list[list[tuple[str, str]]]:
    """What a model was sent, call by call."""
    return [
        [(message.role, text_of(message.content)) for message in request.messages]
        for request in handler.requests
    ]


async def title_of(server: Served, thread: object, provisional: str = "New Chat") -> str:
    """The title, once there is another than at the beginning."""
    while True:
        listed = (await server.client.get("/get-all-conversations")).json()
        title = str(listed[thread]["chat_name"])
        if title != provisional:
            return title
