"""Ask an assistant from your own program. Without a configuration a small local model answers, offline."""

import anyio

import callboard


async def main() -> None:
    async with callboard.open_runtime() as runtime:
        reply = await runtime.ask("default", "What is the capital of France?")
        again = await runtime.ask("default", "And of Spain?", previous_response_id=reply.response_id)
        print(reply.text, again.text, sep="\n")


anyio.run(main)
