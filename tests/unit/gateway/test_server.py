"""Cases that ASGI hides from an app, over real sockets: half requests, pings, and clients that do not close."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect

import telex
from telex.gateway import AccessRules, CloseCode, Gateway, Limits, uvicorn_options
from telex.gateway.limits import TokenBucket
from telex.gateway.server import MIN_BYTES_PER_SECOND, BoundedWebSocket, Stalled
from telex.testing.clock import VirtualClock
from tests.support.loops import until

OPEN = AccessRules(publish=(">",), subscribe=(">",))


WITHIN = 10.0


class Served:
    def __init__(self, gateway: Gateway, server: uvicorn.Server, port: int) -> None:
        self.gateway, self.server, self.port = gateway, server, port

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            await until(lambda: true())  # a server has no event for it

    async def raw(self, data: bytes = b"", *, read: bool = True) -> socket.socket:
        """A socket on which this was sent. With little room, so that a client that reads nothing is soon full."""
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await loop.sock_sendall(client, data)
        if read:
            async with asyncio.timeout(WITHIN):
                await loop.sock_recv(client, 4096)
        return client

    async def websocket(self, *frames: bytes) -> socket.socket:
        key = base64.b64encode(bytes(16)).decode()
        client = await self.raw(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await asyncio.get_running_loop().sock_sendall(client, b"".join(frames))
        return client

    async def closed(self, client: socket.socket) -> bytes:
        """What comes until the server closes."""
        loop, found = asyncio.get_running_loop(), b""
        async with asyncio.timeout(WITHIN):
            try:
                while part := await loop.sock_recv(client, 65536):
                    found += part
            except ConnectionResetError:
                pass
        return found


@asynccontextmanager
async def served(limits: Limits, *, bounded: bool = True) -> AsyncIterator[Served]:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=limits)
        large = Route("/large", lambda request: PlainTextResponse("x" * 20_000_000))
        app = Starlette(routes=[WebSocketRoute("/ws", gateway), large])
        options: dict[str, Any] = uvicorn_options(limits) if bounded else {}
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **options))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve([listener]))
                on = Served(gateway, server, listener.getsockname()[1])
                await on.until(lambda: server.started)
                yield on
                server.should_exit = True
                async with asyncio.timeout(WITHIN):
                    await serving


HEADS = {
    "nothing": b"",
    "half a line": b"GET /ws HT",
    "half a head": b"GET /ws HTTP/1.1\r\nHost: x\r\nX: ",
}


@pytest.mark.slow
@pytest.mark.every_loop
@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS.keys())
async def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async with served(Limits(head_timeout=0.05)) as on:
        with closing(await on.raw(sent, read=False)) as client:
            assert await on.closed(client) == b""
        # Nor the second on the same connection.
        with closing(await on.raw(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\nGET /", read=False)) as client:
            assert (await on.closed(client)).startswith(b"HTTP/1.1 404")
        assert on.connections == 0


@pytest.mark.slow
async def test_connections_without_a_head_are_bounded_and_the_oldest_goes() -> None:
    async with served(Limits(handshakes=3, head_timeout=1000)) as on:
        clients = [await on.raw(b"GET", read=False) for _ in range(3)]
        await on.until(lambda: on.connections == 3)
        clients.append(await on.raw(b"GET", read=False))
        assert await on.closed(clients[0]) == b""
        assert on.connections == 3
        async with connect(f"ws://127.0.0.1:{on.port}/ws", proxy=None) as client:
            await client.recv()
        for each in clients:
            each.close()


@pytest.mark.slow
async def test_a_head_is_bounded() -> None:
    async with served(Limits(head_bytes=1000)) as on:
        with closing(await on.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000, read=False)) as client:
            assert (await on.closed(client)).startswith(b"HTTP/1.1 431")
        with closing(await on.raw(b"GET /none HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 900 + b"\r\n\r\n")):
            pass


def frame(payload: bytes, opcode: int = 1, *, final: bool = True) -> bytes:
    assert len(payload) < 126
    return bytes([(0x80 if final else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.slow
@pytest.mark.every_loop
async def test_pings_of_a_client_that_reads_nothing_are_not_read(loop_name: str) -> None:
    async with served(Limits(write_timeout=0.3, control_rate=1e6, burst=10**6)) as on:
        with closing(await on.websocket()) as client:
            await on.until(lambda: on.gateway.statistics().connections == 1)
            (protocol,) = on.server.server_state.connections
            client.setblocking(False)
            sent, largest = 0, 0
            pings = frame(b"x" * 125, 9) * 500
            async with asyncio.timeout(WITHIN):
                while on.connections:
                    try:
                        sent += client.send(pings)
                    except BlockingIOError:
                        await asyncio.sleep(0)
                    except OSError:
                        break  # cut off
                    largest = max(largest, protocol.transport.get_write_buffer_size())
                    await asyncio.sleep(0)
            assert sent > 100_000
            assert largest < 200_000
        await on.until(lambda: on.gateway.statistics().connections == 0)


@pytest.mark.slow
@pytest.mark.parametrize("opcode", [9, 10])
async def test_control_frames_are_read_at_a_bounded_rate(opcode: int) -> None:
    async with served(Limits(control_rate=0.5, burst=5)) as on:
        flood = frame(b"", opcode) * 7
        with closing(await on.websocket(flood, frame(b'{"op":"ping"}'))):
            with pytest.raises(TimeoutError):
                # The frame after the flood is not read before the client has rested for some seconds.
                async with asyncio.timeout(0.1):
                    await on.until(lambda: on.gateway.statistics().accepted == 2)
            (protocol,) = on.server.server_state.connections
            assert isinstance(protocol, BoundedWebSocket)
            assert protocol._patience is not None
        with closing(await on.websocket(frame(b"", opcode) * 5)):
            pass


@pytest.mark.slow
async def test_a_message_comes_in_a_bounded_number_of_parts() -> None:
    async with served(Limits(control_rate=1e6, burst=10**6)) as on:
        parts = frame(b"", 1, final=False) + frame(b"", 0, final=False) * 3000
        with closing(await on.websocket(parts)) as client:
            await on.closed(client)
        await on.until(lambda: on.gateway.statistics().connections == 0)


@pytest.mark.slow
async def test_a_burst_is_read_in_slices_and_nothing_is_missed() -> None:
    async with (
        served(Limits(rate=1e6, burst=10**6)) as on,
        connect(f"ws://127.0.0.1:{on.port}/ws", proxy=None, compression=None) as client,
    ):
        await client.recv()
        for number in range(100):
            await client.send(f'{{"op":"ping","ref":{number}}}' + " " * (number * 137 % 9000))
        for number in range(100):
            assert await client.recv() == f'{{"op":"pong","ref":{number}}}'


@pytest.mark.slow
@pytest.mark.every_loop
async def test_an_answer_that_is_not_taken_does_not_keep_its_socket() -> None:
    async with served(Limits(write_timeout=0.2)) as on:
        with closing(await on.raw(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")):
            await on.until(lambda: on.connections == 0)


@pytest.mark.slow
@pytest.mark.every_loop
@pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "plain uvicorn"])
async def test_a_client_that_is_closed_gives_its_socket_back(bounded: bool) -> None:
    limits = Limits(write_timeout=0.1, close_timeout=0.05, outbox_bytes=10**9)
    async with served(limits, bounded=bounded) as on:
        with closing(await on.websocket(frame(b'{"op":"subscribe","topic":"a"}'))):
            await on.until(lambda: on.gateway.hub.statistics().subscribers == 1)
            for _ in range(200):
                on.gateway.hub.topic("a").publish_nowait("x" * 100_000)
            await on.until(lambda: on.gateway.statistics().closed == {CloseCode.SLOW: 1})
            await on.until(lambda: on.connections == 0)


@pytest.mark.slow
async def test_the_server_ends_while_clients_hang_on() -> None:
    async with served(Limits(close_timeout=0.05), bounded=False) as on:
        clients = [await on.websocket(frame(b'{"op":"subscribe","topic":"a"}')) for _ in range(3)]
        await on.until(lambda: on.gateway.hub.statistics().subscribers == 3)
        for _ in range(200):
            on.gateway.hub.topic("a").publish_nowait("x" * 100_000)
        await asyncio.sleep(0)
        on.server.should_exit = True
        await on.until(lambda: on.connections == 0)
        for client in clients:
            client.close()


@pytest.mark.slow
async def test_options_are_uvicorn_s() -> None:
    uvicorn.Config(lambda scope: None, **uvicorn_options())
    async with served(Limits()) as on, httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{on.port}/none")).status_code == 404


class Buffered:
    """A transport whose client takes so many bytes a second of what is buffered."""

    def __init__(self, clock: VirtualClock, rate: float) -> None:
        self.aborted: float | None = None
        self._clock, self._rate, self._begun = clock, rate, clock()

    def get_write_buffer_size(self) -> int:
        return int(10**6 - self._rate * (self._clock() - self._begun))

    def abort(self) -> None:
        self.aborted = self._clock() - self._begun


@pytest.mark.parametrize(("rate", "aborted"), [(0, True), (0.5, True), (1.5, False)])
def test_a_client_that_takes_too_little_is_cut_off(rate: float, aborted: bool) -> None:
    clock = VirtualClock()

    async def main() -> None:
        transport: Any = Buffered(clock, rate * MIN_BYTES_PER_SECOND)
        stalled = Stalled(transport, 10.0)
        await asyncio.sleep(60)
        stalled.close()
        assert (transport.aborted is not None) is aborted
        assert transport.aborted is None or 10 < transport.aborted < 25

    clock.run(main())


def test_a_client_that_lets_the_server_write_on_is_not_cut_off() -> None:
    clock = VirtualClock()

    async def main() -> None:
        transport: Any = Buffered(clock, 0)
        stalled = Stalled(transport, 10.0)
        for _ in range(60):
            stalled.drained()
            await asyncio.sleep(1)
        stalled.close()
        assert transport.aborted is None

    clock.run(main())


class Reading:
    """A transport that notes when it is read from."""

    def __init__(self, clock: VirtualClock) -> None:
        self.resumed: list[float] = []
        self._clock = clock

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None:
        self.resumed.append(self._clock())


def test_a_client_that_pings_too_often_is_read_when_it_has_paid_for_all() -> None:
    clock = VirtualClock()

    async def main() -> None:
        connection: Any = BoundedWebSocket.__new__(BoundedWebSocket)
        connection._bucket = TokenBucket(1.0, 1, asyncio.get_running_loop().time())
        connection._patience, connection._unread = None, b""
        connection.transport, connection.read_paused, connection.writable = Reading(clock), False, asyncio.Event()
        connection.writable.set()
        begun = clock()
        for _ in range(4):
            connection._count()
        await asyncio.sleep(60)
        assert connection.transport.resumed == [begun + 3.0]

    clock.run(main())
