"""The kernel alone: an actor that divides, crashes, and comes back behind the same reference."""

from __future__ import annotations

import anyio

from callboard.errors import ActorFailed
from callboard.kernel import Actor, Child, Context, Request, Supervisor, open_system


class Divide(Request["Divider", float], frozen=True, kw_only=True):
    """Divide what is left, and answer with it."""

    by: float


class Divider(Actor[Divide]):
    """Has 120 to begin with; so has each new incarnation."""

    left = 120.0

    async def receive(self, message: Divide, context: Context[Divider]) -> None:
        """Handle one message."""
        self.left /= message.by
        context.reply(message, self.left)


async def main() -> None:
    divider = Child(name="divider", start=Divider)
    async with open_system(Supervisor(name="example", children=(divider,)), observe=print) as system:
        for by in (2, 3, 0, 4):
            try:
                left = await system.ref(divider).ask(Divide(by=by))
                print(left)
            except ActorFailed as failed:
                print(f"crashed: {failed.__cause__}")


if __name__ == "__main__":
    anyio.run(main)
