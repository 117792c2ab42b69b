"""What is behind the chat routes: the conversations, who answers, and who finds titles."""

from __future__ import annotations

import time
from functools import partial

from msgspec import Struct

from callboard.actors.archivist import Commit
from callboard.actors.assistant import Assistant
from callboard.actors.titler import Titler
from callboard.chats.conversations import ConversationManager
from callboard.kernel import ActorRef
from callboard.runtime import Runtime
from callboard.store.changes import Change
from callboard.wiring import CHAT

DEFAULT = "default"


class Front(Struct, frozen=True, kw_only=True):
    """See the module's docstring.

    Attributes:
        assistant: Answers: the one that is called ``default``, else the first that is configured.
        assistant_name: What stored orders call it.
        model: Its own, or the first that is configured; what answers where a request names none.
    """

    manager: ConversationManager
    assistant: ActorRef[Assistant]
    assistant_name: str
    model: str
    titler: ActorRef[Titler]


def front_of(runtime: Runtime) -> Front:
    """The front of a running runtime."""
    wiring = runtime.wiring
    configured = {each.name: each for each in runtime.config.assistants}
    chosen = configured.get(DEFAULT) or next(iter(configured.values()), None)
    first_model = next((spec.name for spec in wiring.routes.models), "")
    name = CHAT if chosen is None else chosen.name
    return Front(
        manager=ConversationManager(wiring.store, write=partial(_write, runtime), now_s=time.time),
        assistant=runtime.system.ref(wiring.chat if chosen is None else wiring.assistants[name]),
        assistant_name=name,
        model=(chosen.model if chosen is not None else "") or first_model,
        titler=runtime.system.ref(wiring.titler),
    )


async def _write(runtime: Runtime, changes: tuple[Change, ...]) -> None:
    await runtime.archivist.ask(Commit(changes=changes))
