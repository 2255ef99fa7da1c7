"""Twenty attackers at once against a chat room or a mounted gateway, and one client that behaves.

``python -m tests.faults.attackers chat --seconds 300`` prints the server's memory and descriptors, the 99th percentile
of the time from publish to delivery for the client that behaves, before and during the attack, and how the server ends
on SIGTERM while the attackers hang on. It exits with 1 when a bound does not hold. The attackers are tasks of one
process, which the system serves last, so that what attacking costs is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import quantiles

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

SERVERS = {
    "chat": ["-m", "telex", "chat", "--json", "--port", "0"],
    "mounted": ["-m", "tests.faults.attacked"],
}
EACH = 2
"""Attackers of each kind."""
PACE = 0.1
"""Seconds between the messages of the client that behaves: the rate that it is allowed."""
GROWTH = 25.0
"""MiB that the server may grow after a fifth of the attack."""
ENDS_WITHIN = 5.0
TEXT = "\U0001f600" * 2000
"""The longest that may be said in a room, of the largest characters."""


# -- attackers: each does one round, and is begun again until the time is over

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target:
    """Where attackers connect: the server's port, as a page or as a program."""

    def __init__(self, port: int, page: bool) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.origin = f"Origin: http://{self.host}\r\n" if page else ""

    async def open(self) -> Streams:
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 5)

    async def handshake(self) -> Streams:
        """A WebSocket, whose first frames are not read."""
        reader, writer = await self.open()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{self.origin}"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        return reader, writer


def frame(payload: bytes, opcode: int = 1, final: bool = True) -> bytes:
    """A masked frame; the mask is zero."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([(0x80 if final else 0) | opcode]) + length + bytes(4) + payload


def request(op: str, **fields: object) -> bytes:
    return frame(json.dumps({"op": op, **fields}).encode())


def enter(room: str) -> bytes:
    name = f"N{random.randrange(10**9)}"
    return request("call", name="enter", content={"room": room, "name": name, "key": "k" * 20})


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await asyncio.wait_for(writer.drain(), 10)


async def never_reading(target: Target) -> None:
    """Follows everything from the beginning, publishes, and takes nothing."""
    _, writer = await target.handshake()
    await send(writer, enter("lobby") + request("subscribe", topic="chatroom:lobby", since="earliest"))
    for number in range(100):
        await send(writer, request("publish", topic="chatroom:lobby", content={"text": TEXT, "number": number}))
        await asyncio.sleep(0.11)


async def pinging(target: Target) -> None:
    _, writer = await target.handshake()
    pings = frame(b"x" * 125, 9) * 500
    for _ in range(1000):
        await send(writer, pings)


async def subscribing(target: Target) -> None:
    _, writer = await target.handshake()
    await send(writer, enter("lobby"))
    for number in range(200):
        tokens = ["chatroom", *("*" if number >> bit & 1 else f"t{number}" for bit in range(4))]
        await send(writer, request("subscribe", topic=":".join(tokens), since="earliest"))
        await asyncio.sleep(0.1)


async def making_rooms(target: Target) -> None:
    """Rooms, with one message in each, as fast as frames are taken."""
    _, writer = await target.handshake()
    for _ in range(10):
        room = f"r{random.randrange(10**9)}"
        said = request("publish", topic=f"chatroom:{room}", content={"name": "x", "text": "y"})
        await send(writer, enter(room) + said)
    await asyncio.sleep(0.5)
    writer.close()


async def half_open(target: Target) -> None:
    """Sockets on which nothing is said."""
    held = [await target.open() for _ in range(100)]
    await asyncio.sleep(5)
    for _, writer in held:
        writer.close()


async def slowloris(target: Target) -> None:
    """Heads and bodies, a byte at a time."""
    head, body = await target.open(), await target.open()
    await send(head[1], f"GET /ws HTTP/1.1\r\nHost: {target.host}\r\nX: ".encode())
    begun = f"POST /commands/double HTTP/1.1\r\nHost: {target.host}\r\nContent-Length: 1000000\r\n\r\n"
    await send(body[1], begun.encode())
    for _ in range(60):
        await send(head[1], b"x")
        await send(body[1], b"1")
        await asyncio.sleep(0.5)


async def huge_frames(target: Target) -> None:
    for size in (64 * 1024, 64 * 1024 + 1, 20_000_000):
        _, writer = await target.handshake()
        await send(writer, frame(b" " * size))
        await asyncio.sleep(0.5)
        writer.close()


async def tiny_frames(target: Target) -> None:
    """Empty frames, messages in parts without end, and half frames."""
    for data in (frame(b"") * 2000, frame(b"", 1, final=False) + frame(b"", 0, final=False) * 5000, frame(b"xx")[:3]):
        _, writer = await target.handshake()
        await send(writer, data)
        await asyncio.sleep(1)
        writer.close()


async def reconnecting(target: Target) -> None:
    for _ in range(20):
        _, writer = await target.handshake()
        writer.transport.abort()
        await asyncio.sleep(0.05)


async def headers_without_end(target: Target) -> None:
    _, writer = await target.open()
    await send(writer, f"GET / HTTP/1.1\r\nHost: {target.host}\r\n".encode())
    for _ in range(1000):
        await send(writer, b"X-%d: %s\r\n" % (random.randrange(10**9), b"x" * 8000))


ATTACKS: tuple[Callable[[Target], Awaitable[None]], ...] = (
    *(never_reading, pinging, subscribing, making_rooms, half_open),
    *(slowloris, huge_frames, tiny_frames, reconnecting, headers_without_end),
)


async def attack(target: Target, until: float) -> None:
    rounds = 0

    async def again(kind: Callable[[Target], Awaitable[None]]) -> None:
        nonlocal rounds
        while time.monotonic() < until and rounds < 10**6:
            rounds += 1
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await kind(target)
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for kind in ATTACKS:
            for _ in range(EACH):
                group.create_task(again(kind))


# -- the client that behaves


async def behave(url: str, page: bool, seconds: float) -> list[float]:
    """Publish and receive at the rate that is allowed: seconds from each publish to its delivery."""
    origin = Origin(url.replace("ws:", "http:").removesuffix("/ws")) if page else None
    async with connect(url, origin=origin, proxy=None, compression=None, max_size=None) as client:
        room = f"good-{random.randrange(10**9)}"
        wish = {"room": room, "name": "Good", "key": "g" * 20}
        if page:
            await ask(client, op="call", name="enter", content=wish)
        await ask(client, op="subscribe", topic=f"chatroom:{room}")
        took: list[float] = []
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end and number < 10**6:
            number += 1
            begun = time.perf_counter()
            said = {"op": "publish", "topic": f"chatroom:{room}", "content": {"text": str(number)}}
            await client.send(json.dumps(said))
            while (await receive(client))["op"] != "messages":
                pass
            took.append(time.perf_counter() - begun)
            await asyncio.sleep(max(0.0, PACE - took[-1]))
        return took


async def ask(client: ClientConnection, **fields: object) -> None:
    await client.send(json.dumps({**fields, "ref": 1}))
    while (answer := await receive(client)).get("ref") != 1:
        pass
    assert answer["op"] != "error", answer


async def receive(client: ClientConnection) -> dict[str, object]:
    found: dict[str, object] = json.loads(await asyncio.wait_for(client.recv(), 30))
    return found


def p99(took: list[float]) -> float:
    """Milliseconds."""
    return quantiles(took, n=100)[98] * 1000


# -- the whole


class Result:
    """What was measured; `faults` says which bounds did not hold."""

    def __init__(self) -> None:
        self.before = self.during = 0.0
        self.samples: list[tuple[float, float, int]] = []  # seconds, MiB, descriptors
        self.ended = -1.0
        self.code: int | None = None

    @property
    def ended_well(self) -> bool:
        # Uvicorn raises the signal again when everything is closed; telex chat does not.
        return self.code in (0, -signal.SIGTERM) and self.ended <= ENDS_WITHIN

    def faults(self) -> list[str]:
        """Which bounds did not hold; what is reached after a fifth of the time counts as reached."""
        early = [s for s in self.samples if s[0] <= self.samples[-1][0] / 5] or self.samples[:1]
        told = {
            "the memory grew": max(s[1] for s in self.samples) > max(s[1] for s in early) + GROWTH,
            "the descriptors grew": max(s[2] for s in self.samples) > max(s[2] for s in early) + 150,
            f"it ended with {self.code} after {self.ended:.1f} s": not self.ended_well,
            "the client that behaves waited more than twice as long": self.during > 2 * self.before,
        }
        return [fault for fault, is_there in told.items() if is_there]


def sample(pid: int) -> tuple[float, int]:
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]) / 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextlib.contextmanager
def watched(pid: int, result: Result, every: float) -> Iterator[None]:
    over = threading.Event()
    begun = time.monotonic()

    def watch() -> None:
        for number in range(1, 10**4):
            if over.wait(max(0.0, begun + number * every - time.monotonic())):
                return
            memory, descriptors = sample(pid)
            result.samples.append((time.monotonic() - begun, memory, descriptors))
            print(f"{number * every:6.0f} s {memory:8.1f} MiB {descriptors:6d} descriptors", flush=True)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(kind: str, seconds: float, every: float = 10.0) -> Result:
    """Attack one server for so long."""
    result = Result()
    page = kind == "chat"
    server = subprocess.Popen([sys.executable, *SERVERS[kind]], stdout=subprocess.PIPE, text=True)
    attackers: subprocess.Popen[bytes] | None = None
    try:
        assert server.stdout is not None
        url: str = json.loads(server.stdout.readline())["gateway"]
        port = url.rpartition(":")[2].removesuffix("/ws")
        result.before = p99(asyncio.run(behave(url, page, seconds / 5)))
        print(f"without attackers p99 {result.before:.2f} ms", flush=True)
        # They go on while the server ends.
        options = [port, "page" if page else "program", str(seconds + 20)]
        attackers = subprocess.Popen([sys.executable, "-m", "tests.faults.attackers", "attack", *options])
        with watched(server.pid, result, every):
            result.during = p99(asyncio.run(behave(url, page, seconds)))
        print(f"with {EACH * len(ATTACKS)} attackers p99 {result.during:.2f} ms", flush=True)
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        result.code = server.wait(30)
        result.ended = time.monotonic() - begun
        print(f"it ended with {result.code} {result.ended:.2f} s after SIGTERM", flush=True)
    except (OSError, TimeoutError, WebSocketException, subprocess.TimeoutExpired) as error:
        print(f"the client that behaves was not served: {error!r}", flush=True)
    finally:
        for process in (attackers, server):
            if process is not None:
                process.kill()
                process.wait()
        if server.stdout is not None:
            server.stdout.close()
    return result


def main() -> int:
    if sys.argv[1:2] == ["attack"]:
        port, kind, seconds = sys.argv[2:]
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        asyncio.run(attack(Target(int(port), kind == "page"), time.monotonic() + float(seconds)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=[*SERVERS])
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    faults = run(options.server, options.seconds).faults()
    print("\n".join(faults) or "every bound held")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
