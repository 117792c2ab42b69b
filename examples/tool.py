"""Give the model a function of yours. Runs offline, with a small local model."""

import anyio

import callboard
from callboard.domain.message import text_of


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


async def main() -> None:
    async with callboard.open_runtime(tools=[add]) as runtime:
        reply = await runtime.ask("default", "Please add 17 and 25.")
        for run in reply.tool_runs:
            print("ran", run.call.name, bytes(run.call.input).decode(), "->", text_of(run.result.content))
        print(reply.text)


anyio.run(main)
