"""The cost of a command by HTTP, beside a route of a web framework."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from bench.question import Contestant, Question

SECONDS = 0.3
CHUNK = 50
# As in bench/fanout.py: the median of so many slices.
SLICES = 5

QUESTION = Question(
    name="http",
    title="A command by HTTP",
    method=(
        "One client, one connection that is kept open, one request after the other, on loopback; the server is a "
        "process of its own, Uvicorn with uvloop and httptools and no access log on both sides. The handler adds 1 to "
        "the number in the body; telex is mounted in Starlette, FastAPI checks the body by a pydantic model."
    ),
    unit="microseconds",
    better="less",
    cases={"plain": "a request", "once": "once, a new key", "replay": "once, replayed"},
    contestants=(
        Contestant("telex", "telex, POST /commands/{name}", "memory://"),
        Contestant("fastapi", "FastAPI, a plain route", cases=("plain",)),
    ),
    rounds=7,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a request."""
    seconds = 0.0 if quick else SECONDS
    with _serving(contestant) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        numbers = iter(range(10**9))
        for _ in range(CHUNK):
            _request(client, contestant, case, numbers)
        return median([_slice(client, contestant, case, numbers, seconds) for _ in range(SLICES if seconds else 1)]), 0


def _slice(client: socket.socket, contestant: str, case: str, numbers: Iterator[int], seconds: float) -> float:
    start = now = perf_counter()
    count = 0
    while not count or now - start < seconds:
        for _ in range(CHUNK):
            _request(client, contestant, case, numbers)
        count += CHUNK
        now = perf_counter()
    return (now - start) / count * 1e6


def _request(client: socket.socket, contestant: str, case: str, numbers: Iterator[int]) -> None:
    path = "/add" if contestant == "fastapi" else "/commands/plain" if case == "plain" else "/commands/once"
    key = "" if case == "plain" else f'idempotency-key: "{next(numbers) if case == "once" else 0}"\r\n'
    body = '{"number":1}'
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{key}"
    client.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n2"):
        received = client.recv(65536)
        if not received:
            raise AssertionError(f"the server said {answer!r}")
        answer += received
    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise AssertionError(answer)


@contextmanager
def _serving(contestant: str) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        port: int = listening.getsockname()[1]
        number = listening.fileno()
        os.set_inheritable(number, True)
        command = [sys.executable, "-m", "bench.http", contestant, str(number)]
        process = subprocess.Popen(command, pass_fds=[number], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise ModuleNotFoundError(contestant, name=contestant)
            yield port
        finally:
            process.terminate()
            process.wait()


def _telex() -> Any:
    import msgspec
    from starlette.applications import Starlette
    from starlette.routing import Mount

    import telex
    from telex.gateway import AccessRules, Commands

    class Content(msgspec.Struct):
        number: int

    hub = telex.Hub("memory://")

    async def add(content: Content) -> int:
        return content.number + 1

    hub.command("plain")(add)
    hub.command("once", once=True)(add)
    routes = [Mount("/commands", Commands(hub, rules=AccessRules(call=(">",))))]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield

    return Starlette(routes=routes, lifespan=lifespan)


def _fastapi() -> Any:
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Content(BaseModel):
        number: int

    app = FastAPI()

    @app.post("/add")
    async def add(content: Content) -> int:
        return content.number + 1

    return app


def main() -> None:
    contestant, number = sys.argv[1:]
    # The model has to be found by its name where the route is declared.
    app = {"telex": _telex, "fastapi": _fastapi}[contestant]()
    import uvicorn

    print("ready", flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(number))])


if __name__ == "__main__":
    main()
