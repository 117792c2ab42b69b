"""The naive gateway: a streaming pass-through. Runs in an environment of its own; `peers.naive` starts it."""

from __future__ import annotations

import os

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

FORWARDED = ("content-type", "authorization")
RETURNED = ("content-type", "x-request-id")

client = httpx.AsyncClient(
    base_url=os.environ.get("UPSTREAM", ""),
    timeout=60,
    trust_env=False,
    limits=httpx.Limits(max_connections=1024, max_keepalive_connections=1024),
)


async def chat_completions(request: Request) -> StreamingResponse:
    headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
    call = client.build_request("POST", "/v1/chat/completions", content=await request.body(), headers=headers)
    answer = await client.send(call, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        headers={name: answer.headers[name] for name in RETURNED if name in answer.headers},
        background=BackgroundTask(answer.aclose),
    )


app = Starlette(routes=[Route("/v1/chat/completions", chat_completions, methods=["POST"])])
