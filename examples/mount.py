"""Mount Callboard's HTTP API in an ASGI application of yours: GET http://127.0.0.1:8000/assistant/v1/models."""

import contextlib
import sys

import anyio
import uvicorn  # or any other ASGI server

import callboard
from callboard.serving.app import App
from callboard.serving.asgi import Receive, Scope, Send

PREFIX = "/assistant"


class Application:
    """Says hello everywhere but under ``PREFIX``."""

    def __init__(self, assistant: App) -> None:
        self._assistant = assistant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(f"{PREFIX}/"):
            await self._assistant({**scope, "path": scope["path"].removeprefix(PREFIX)}, receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})


async def main(port: int) -> None:
    async with callboard.open_runtime() as runtime:
        config = uvicorn.Config(Application(callboard.build_app(runtime)), port=port, lifespan="off")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(main, int(sys.argv[1]) if sys.argv[1:] else 8000)
