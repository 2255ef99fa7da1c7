"""The cost of four idle processes for the server."""

import asyncio
import os
import sys
from pathlib import Path

from bench.postgres_proxy import proxy
from bench.postgres_server import server
from bench.question import Contestant, Question
from bench.worker import run

PROCESSES = 4
SETTLE, SECONDS, FEW = 5.0, 30.0, 1.0

QUESTION = Question(
    name="postgres_idle",
    title="Idle processes on PostgreSQL",
    method=(
        "Four processes, each with a subscriber, a group, a command that runs once and a timer; nothing is published "
        "for 30 seconds. The processes' own time on the processor, and the statements that a proxy counts."
    ),
    unit="percent of a core, or statements a second",
    better="less",
    cases={"core": "percent of a core", "statements": "statements a second"},
    contestants=(Contestant("telex", "four processes"),),
    rounds=3,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Percent of one core, or statements a second, of all four together."""
    with server() as (url, conninfo):
        folder = conninfo.split()[0].partition("=")[2]
        return run(_measure(url, folder, case, FEW if quick else SECONDS)), 0


async def _measure(url: str, folder: str, case: str, seconds: float) -> float:
    import telex

    async with telex.Hub(url):  # makes the schema
        pass
    async with proxy(folder) as traffic:
        through = f"postgresql://telex@127.0.0.1:{traffic.port}/postgres?sslmode=disable&gssencmode=disable"
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "bench.postgres_idle", through)
        processes = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(PROCESSES)]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"open\n"
        await asyncio.sleep(min(SETTLE, seconds))
        statements, spent = traffic.statements, sum(_cpu(process.pid) for process in processes)
        await asyncio.sleep(seconds)
        statements, spent = traffic.statements - statements, sum(_cpu(process.pid) for process in processes) - spent
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
        return statements / seconds if case == "statements" else 100 * spent / seconds


def _cpu(pid: int) -> float:
    """The seconds on the processor of a process."""
    times = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(times[0]) / 1e9


async def idle(url: str) -> None:
    """Be one of the processes, until the input ends."""
    import telex

    hub = telex.Hub(url)

    @hub.on("orders", group="billing")
    async def bill(content: object) -> None: ...

    @hub.command("pay", once=True)
    async def pay(content: object) -> None: ...

    hub.every("1h", name="hourly", topic="hours")
    async with hub, hub.topic("chatroom:1").subscribe():
        print("open", flush=True)
        await asyncio.to_thread(os.read, 0, 1)


if __name__ == "__main__":
    asyncio.run(idle(sys.argv[1]))
