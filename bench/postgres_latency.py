"""The time that a message takes from one process to another, through PostgreSQL."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

from bench.postgres_server import server
from bench.question import Contestant, Question
from bench.worker import run

TEXT = '{"number":1,"text":"hello there"}'
TIMES, FEW = 1000, 20
INSERT = b"WITH x AS (INSERT INTO messages (content) VALUES (%s) RETURNING n) SELECT pg_notify(%s, n::text) FROM x"

QUESTION = Question(
    name="postgres_latency",
    title="From process to process through PostgreSQL",
    method=(
        "A message to another process and its answer, one at a time, each committed; half of the median time of both. "
        "Bare LISTEN/NOTIFY inserts the same row and notifies in one statement, and reads nothing."
    ),
    unit="milliseconds",
    better="less",
    cases={"one": "one way"},
    contestants=(Contestant("telex", "telex, postgresql://"), Contestant("psycopg", "psycopg, LISTEN/NOTIFY")),
    rounds=3,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Milliseconds."""
    with server() as (url, conninfo):
        way = _telex(url, quick) if contestant == "telex" else _bare(conninfo, quick)
        return run(way), 0


async def _ping(echo: list[str], ready: Callable[[], Awaitable[Callable[[], Awaitable[None]]]], times: int) -> float:
    """Start the process that echoes, and send to it so many times; half of the median in milliseconds."""
    ping = await ready()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.postgres_latency",
        *echo,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    taken = []
    for _ in range(times):
        start = perf_counter()
        await ping()
        taken.append(1000 * (perf_counter() - start))
    process.stdin.close()
    await process.wait()
    return median(taken) / 2


async def _telex(url: str, quick: bool) -> float:
    import telex

    async with telex.Hub(url) as hub, hub.topic("pong").subscribe() as inbox:

        async def ready() -> Callable[[], Awaitable[None]]:
            async def ping() -> None:
                await hub.topic("ping").publish(TEXT)
                await inbox.receive()

            return ping

        return await _ping(["telex", url], ready, FEW if quick else TIMES)


async def _bare(conninfo: str, quick: bool) -> float:
    import psycopg

    writes = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    listens = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    async with writes, listens:
        await writes.execute("CREATE TABLE messages (n bigserial PRIMARY KEY, content text)")
        await listens.execute("LISTEN pong")
        heard = listens.notifies()

        async def ready() -> Callable[[], Awaitable[None]]:
            async def ping() -> None:
                await writes.execute(INSERT, (TEXT, "ping"))
                await anext(heard)

            return ping

        try:
            return await _ping(["bare", conninfo], ready, FEW if quick else TIMES)
        finally:
            await heard.aclose()


async def echo_telex(url: str) -> None:
    import telex

    async with telex.Hub(url) as hub, hub.topic("ping").subscribe() as inbox:
        print("open", flush=True)
        async for message in inbox:
            await hub.topic("pong").publish(message.content)


async def echo_bare(conninfo: str) -> None:
    import psycopg

    writes = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    listens = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    async with writes, listens:
        await listens.execute("LISTEN ping")
        print("open", flush=True)
        async for _ in listens.notifies():
            await writes.execute(INSERT, (TEXT, "pong"))


async def until_input_ends(work: Any) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(sys.stdin.read)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(until_input_ends(echo_telex(sys.argv[2]) if sys.argv[1] == "telex" else echo_bare(sys.argv[2])))
