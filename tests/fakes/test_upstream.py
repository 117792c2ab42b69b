"""The fake upstream does what it is told: the other tests lean on it."""

import json

import anyio
import pytest

from callboard.errors import StreamIncomplete
from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpRequest, HttpResponse
from callboard.transport.pooled import PooledClient
from tests.fakes.openai_traffic import Gate, chat, chat_stream, failure, usage
from tests.fakes.upstream import FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio


async def post(client: PooledClient, upstream: FakeUpstream, *, stream: bool = False) -> HttpResponse:
    body = {"model": "m", "messages": [{"role": "user", "content": "how are you"}], "stream": stream}
    url = f"{upstream.base_url}/chat/completions"
    return await client.send(HttpRequest(method="POST", url=url, body=json.dumps(body).encode()))


def client_for(upstream: FakeUpstream) -> PooledClient:
    return PooledClient(guard=DialGuard().also_allowing("127.0.0.1", upstream.port))


async def test_it_echoes_and_bills_what_nothing_was_queued_for() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            async with await post(client, upstream) as response:
                document = json.loads(await response.read())
            async with await post(client, upstream, stream=True) as response:
                lines = (await response.read()).split(b"\n\n")
            assert document["choices"][0]["message"]["content"] == "echo: how are you"
            assert document["usage"] == usage(4)
            chunks = [json.loads(line.removeprefix(b"data: ")) for line in lines[:-2]]
            texts = [
                chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
            ]
            assert "".join(texts) == "echo: how are you"
            assert chunks[-1]["usage"] == usage(4)
            assert lines[-2:] == [b"data: [DONE]", b""]
            assert upstream.bill == (14, 8)
            assert upstream.connections == 1


async def test_it_answers_off_the_queue_in_order() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            upstream.queue(failure(503, retry_after="1"), chat("two"))
            async with await post(client, upstream) as response:
                assert (response.status, response.header("retry-after")) == (503, "1")
                await response.read()
            async with await post(client, upstream) as response:
                assert b'"two"' in await response.read()


async def test_it_lists_its_model_and_knows_no_other_route() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            statuses = []
            for method, path in (("GET", "/models"), ("GET", "/else"), ("POST", "/else")):
                request = HttpRequest(method=method, url=upstream.base_url + path)
                async with await client.send(request) as response:
                    statuses.append(response.status)
                    await response.read()
            assert statuses == [200, 404, 404]


async def test_a_gate_holds_the_answer_and_leaving_is_noticed_and_billed() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            gate = Gate()
            upstream.queue(chat_stream("one", " two", gate, " three"))
            async with await post(client, upstream, stream=True) as response:
                await gate.reached.wait()
                await anext(response)
            exchange = await upstream.exchange(0)
            await exchange.peer_left.wait()
            await exchange.over.wait()
            assert (exchange.prompt_tokens, exchange.completion_tokens) == (7, 2)
            await upstream.until(lambda: upstream.open_connections == 0)


async def test_an_opened_gate_lets_the_answer_go_on() -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            gate = Gate()
            gate.opened.set()
            upstream.queue(chat_stream("one", gate, " two"))
            async with await post(client, upstream, stream=True) as response:
                assert b"two" in await response.read()


@pytest.mark.parametrize("ending", ["fin", "rst"])
@pytest.mark.parametrize("cut_after", [0, 10, None])
async def test_a_cut_answer_is_cut(ending: str, cut_after: int | None) -> None:
    with anyio.fail_after(5):
        async with serve_upstream() as upstream, client_for(upstream) as client:
            upstream.queue(
                chat_stream("one", cut_after=cut_after, ending="rst" if ending == "rst" else "fin")
            )
            async with await post(client, upstream, stream=True) as response:
                with pytest.raises(StreamIncomplete):
                    await response.read()
            await (await upstream.exchange(0)).over.wait()
            assert upstream.bill == (7, 1 if cut_after is None else 0)
