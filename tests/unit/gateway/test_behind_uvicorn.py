"""The gateway behind Uvicorn, over real sockets: what the in-memory client cannot show."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

import telex
from telex.gateway import AccessRules, CloseCode, Gateway, Limits

pytestmark = pytest.mark.slow
OPEN = AccessRules(publish=(">",), subscribe=(">",))


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[str]:
    """The gateway at ``/ws``, and mounted below ``/deep``; the address of the first."""
    app = Starlette(routes=[WebSocketRoute("/ws", gateway), Mount("/deep", gateway)])
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws_max_size=gateway.limits.frame_bytes)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            yield f"ws://127.0.0.1:{port}/ws"
            server.should_exit = True


async def ask(client: ClientConnection, **frame: object) -> dict[str, Any]:
    await client.send(json.dumps({**frame, "ref": 1}))
    while True:
        answer: dict[str, Any] = json.loads(await client.recv())
        if answer.get("ref") == 1:
            return answer


@pytest.mark.every_loop
async def test_a_client_that_reads_too_slowly_is_told_to_come_back_and_misses_nothing() -> None:
    async with telex.Hub() as hub:
        hub.retain("a", messages=10_000)
        gateway = Gateway(hub, rules=OPEN, limits=Limits(outbox_bytes=64 * 1024, close_timeout=10))
        topic = hub.topic("a")
        async with served(gateway) as url:
            seen: list[int] = []
            position = "new"
            async with connect(url, max_queue=1, proxy=None, compression=None) as client:
                position = (await ask(client, op="subscribe", topic="a"))["position"]
                published = 0
                # Until the buffers of the system are full on both sides, and then what the gateway may hold.
                while not gateway.statistics().closed and published < 9_000:
                    await topic.publish("x" * 16_000)
                    published += 1
                    await asyncio.sleep(0)
                with suppress(ConnectionClosed):
                    async for text in client:
                        frame = json.loads(text)
                        seen += [message["seq"] for message in frame["messages"]]
                        position = frame["position"]
                assert client.close_code == CloseCode.SLOW
            assert len(seen) < published
            async with connect(url, max_size=None, proxy=None) as again:
                await ask(again, op="subscribe", topic="a", since=position)
                while len(seen) < published:
                    frame = json.loads(await again.recv())
                    assert frame["op"] == "messages"
                    seen += [message["seq"] for message in frame["messages"]]
            assert seen == [*range(1, published + 1)]
        assert hub.statistics().subscribers == 0
        assert gateway.statistics().connections == 0


async def test_the_server_s_end_is_told() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with served(gateway) as url:
            client = await connect(url, proxy=None)
            await ask(client, op="subscribe", topic="a")
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await client.close()
        assert gateway.statistics().connections == 0
        assert hub.statistics().subscribers == 0


async def test_handshakes_and_frames_that_are_refused() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with served(gateway) as url:
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, origin=Origin("https://evil.example"), proxy=None)
            assert refused.value.response.status_code == 403
            async with connect(url.replace("/ws", "/deep/"), proxy=None) as client:
                assert (await ask(client, op="ping"))["op"] == "pong"
            for size, told in ((64 * 1024, "malformed"), (64 * 1024 + 1, None)):
                async with connect(url, proxy=None) as client:
                    await client.recv()
                    await client.send("x" * size)
                    if told:
                        assert json.loads(await client.recv())["code"] == told
                    else:
                        with pytest.raises(ConnectionClosed) as closed:
                            await client.recv()
                        assert closed.value.rcvd is not None
                        assert closed.value.rcvd.code == CloseCode.TOO_LARGE
            async with connect(url, proxy=None) as client:
                await client.recv()
                client.transport.abort()  # a client that goes without a word
        assert gateway.statistics().connections == 0
