"""Processes on PostgreSQL are killed and cut off while they work, the server fails, and their histories are checked.

python -m tests.faults.postgres_chaos --rounds 60 --seed 7

A round has a database and processes of its own: 8 publishers, 8 live subscribers, 4 members of groups, senders of
commands, timers and an outbox writer. Half of the processes reach the server through a proxy. The faults of a round are
drawn by the seed and the number of the round.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import psycopg

import telex
from tests.faults.postgres_history import Firing, History, Timer, problems, read
from tests.faults.postgres_roles import TIMERS, TOPICS
from tests.faults.proxy import Proxy, proxy
from tests.support.postgres import PostgresServer, startable

ROLES = ("subscriber0", "subscriber1", "worker0", "worker1", "publisher0", "publisher1", "outbox1")
"""In the order of their start. Those with the number 1 use the proxy."""
WRITERS = ("publisher0", "publisher1", "outbox1")
FAULTS, NETWORK_FAULTS = 3, 2
"""In a round: of the processes and the server, and beside them of the network."""
AFTER_SECONDS = 1.0
"""Seconds for which all work when the last fault is over: new lives receive something, too."""
SETTLE_SECONDS = 40.0
"""Seconds within which all is received, handled and ended after the last fault."""
TABLES = "CREATE TABLE effects (text TEXT); CREATE TABLE charges (key TEXT); CREATE TABLE rows (text TEXT)"


class Count(msgspec.Struct):
    """What the rounds have shown."""

    rounds: int = 0
    faults: dict[str, int] = {}
    acknowledged: int = 0
    received: int = 0
    effects: int = 0
    outcomes: int = 0
    keys: int = 0
    firings: int = 0
    committed: int = 0
    rolled_back: int = 0
    slowest: float = 0.0
    """Seconds."""
    problems: list[str] = []

    def add(self, history: History) -> None:
        """Count what is in a history."""
        self.rounds += 1
        self.acknowledged += sum(map(len, history.acknowledged.values()))
        self.received += sum(len(reception.texts) for reception in history.receptions)
        self.effects += len(history.effects)
        self.outcomes += sum(map(len, history.outcomes.values()))
        self.keys += len(history.outcomes)
        self.firings += sum(len(timer.firings) for timer in history.timers)
        self.committed += len(history.rows)
        self.rolled_back += len(history.rolled_back)


class Crowd:
    """The processes of a round."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        self.folder = folder
        self.ended: list[str] = []
        """The processes that have ended by themselves."""
        self._urls = urls
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lives = dict.fromkeys(ROLES, 0)

    def start(self, role: str) -> None:
        """Start the next process of a role."""
        command = [sys.executable, "-m", "tests.faults.postgres_roles", role, self._urls[int(role[-1])]]
        with (self.folder / f"{role}.errors").open("ab") as errors:
            self._running[role] = subprocess.Popen([*command, str(self.folder), str(self._lives[role])], stderr=errors)
        self._lives[role] += 1

    def kill(self, role: str) -> None:
        """Kill the process of a role."""
        process = self._running.pop(role)
        if process.poll() is not None:
            self.ended.append(f"{role} has ended by itself: {self.errors(role)}")
        process.kill()
        process.wait()

    async def ready(self, role: str, seconds: float = 30.0) -> None:
        """Wait until the last process of a role has opened its hub."""
        notes, end = self.folder / f"{role}.jsonl", time.monotonic() + seconds
        while not notes.exists() or f'"ready","{self._running[role].pid}"' not in notes.read_text():
            if self._running[role].poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{role} does not begin: {self.errors(role)}")
            await asyncio.sleep(0.05)

    async def finish(self, role: str) -> None:
        """Ask a process to end, and wait for it."""
        process = self._running[role]  # until it has ended: `end` kills it when the rounds are stopped
        process.terminate()
        try:
            code = await asyncio.to_thread(process.wait, SETTLE_SECONDS)
        except subprocess.TimeoutExpired:
            self.ended.append(f"{role} has not ended in {SETTLE_SECONDS} s: {self.errors(role)}")
            process.kill()
            process.wait()
            return
        finally:
            if process.poll() is not None:
                del self._running[role]
        if code != 0:
            self.ended.append(f"{role} has ended with {code}: {self.errors(role)}")

    def errors(self, role: str) -> str:
        """Return the end of what a role has said."""
        return (self.folder / f"{role}.errors").read_text()[-3000:]

    def end(self) -> None:
        """Kill all that are left."""
        for process in self._running.values():
            process.kill()
            process.wait()


class Chaos:
    """The faults. Each one is undone when its method returns."""

    def __init__(
        self, server: PostgresServer, database: str, crowd: Crowd, middle: Proxy, chance: random.Random
    ) -> None:
        self.happened: list[str] = []
        self._server = server
        self._database = database
        self._crowd = crowd
        self._proxy = middle
        self._chance = chance

    async def run(self) -> None:
        """Let faults happen: those of the processes and the server, and beside them those of the network."""
        local = [self.kill, self.kill, self.terminate, self.crash, self.freeze, self.freeze]
        network = [self.drop, self.delay, self.half_close, self.hold]
        async with asyncio.TaskGroup() as both:  # it ends when both have undone their faults
            both.create_task(self._series(local, FAULTS))
            both.create_task(self._series(network, NETWORK_FAULTS))

    async def _series(self, faults: Sequence[Callable[[], Awaitable[str]]], count: int) -> None:
        for fault in self._chance.sample(faults, count):
            await self._pause(0.2, 1.2)
            detail = await fault()
            self.happened.append(f"{fault.__name__} {detail}".strip())

    async def _pause(self, shortest: float, longest: float) -> None:
        await asyncio.sleep(self._chance.uniform(shortest, longest))

    async def kill(self) -> str:
        """Kill a process with signal 9, and start the next one."""
        role = self._chance.choice(ROLES)
        self._crowd.kill(role)
        await self._pause(0, 1)
        self._crowd.start(role)
        return role

    async def terminate(self) -> str:
        """End some of the server's connections, three times."""
        ended = []
        for _ in range(3):
            pids = await self._backends(self._chance.randint(1, 8), "pg_terminate_backend(pid)")
            ended.append(str(len(pids)))
            await self._pause(0.1, 0.5)
        return " ".join(ended)

    async def crash(self) -> str:
        """Stop the server as ``pg_ctl stop -m immediate`` does, and start it."""
        restarting = asyncio.ensure_future(asyncio.to_thread(self._restart, self._chance.uniform(0, 1)))
        try:
            await asyncio.shield(restarting)
        except asyncio.CancelledError:
            await restarting  # else a server would start after the end
            raise
        return ""

    def _restart(self, seconds: float) -> None:
        self._server.stop(immediately=True)
        time.sleep(seconds)
        self._server.start()

    async def freeze(self) -> str:
        """Stop a process of the server for a while."""
        for pid in await self._backends(1, "true"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                try:
                    await self._pause(0.5, 3)
                finally:
                    os.kill(pid, signal.SIGCONT)
        return ""

    async def drop(self) -> str:
        """Reset the connections, and again those that were made in their place."""
        counts = []
        for _ in range(2):
            counts.append(str(self._proxy.drop()))
            await self._pause(0.1, 0.6)
        return " ".join(counts)

    async def delay(self) -> str:
        """Let all that passes be late."""
        self._proxy.delay = self._chance.uniform(0.02, 0.2)
        await self._pause(0.5, 2)
        self._proxy.delay = 0.0
        return ""

    async def half_close(self) -> str:
        """Close one direction of each connection."""
        to_client = self._chance.random() < 0.5
        self._proxy.half_close(to_client=to_client)
        await self._pause(0.1, 1)
        return "to the client" if to_client else "to the server"

    async def hold(self) -> str:
        """Let nothing pass for a while, and then reset the connections or let all pass."""
        self._proxy.hold()
        await self._pause(0.5, 2.5)
        dropped = self._chance.random() < 0.5
        if dropped:
            self._proxy.drop()
        self._proxy.release()
        return "and dropped" if dropped else ""

    async def _backends(self, limit: int, what: str) -> list[int]:
        """Choose backends of the database by the seed, as far as their number is the same; their process ids."""
        conninfo = f"{self._server.conninfo} application_name=chaos"
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            query = (
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' ORDER BY pid"
            )
            pids = [pid for (pid,) in await (await connection.execute(query, (self._database,))).fetchall()]
            chosen = self._chance.sample(pids, min(limit, len(pids)))
            await connection.execute(f"SELECT {what} FROM unnest(%s::int[]) AS pid".encode(), (chosen,))
        return chosen


@asynccontextmanager
async def database(server: PostgresServer, name: str) -> AsyncIterator[str]:
    """The connection string of a database of its own."""
    conninfo = server.conninfo.replace("dbname=postgres", f"dbname={name}")
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(conninfo) as connection:
        connection.execute(TABLES.encode())
    try:
        yield conninfo
    finally:
        with (  # a server that is away is deleted with its databases
            suppress(psycopg.OperationalError),
            psycopg.connect(server.conninfo, autocommit=True) as connection,
        ):
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def play_round(
    server: PostgresServer, name: str, folder: Path, chance: random.Random
) -> tuple[History, list[str], list[str]]:
    """Play one round; its history, its faults, and the processes that ended by themselves."""
    socket = Path(server.conninfo.partition("host=")[2].partition(" ")[0])
    async with AsyncExitStack() as exits:
        conninfo = await exits.enter_async_context(database(server, name))
        middle = await exits.enter_async_context(proxy(socket / ".s.PGSQL.5432"))
        url = f"postgresql://telex@/{name}?host={quote(str(socket), safe='')}"
        crowd = Crowd(folder, [url, f"postgresql://telex@127.0.0.1:{middle.port}/{name}"])
        exits.callback(crowd.end)
        for group in (ROLES[:2], ROLES[2:]):  # subscribers are there before the first message
            for role in group:
                crowd.start(role)
            await asyncio.gather(*map(crowd.ready, group))
        chaos = Chaos(server, name, crowd, middle, chance)
        await chaos.run()
        await asyncio.gather(*map(crowd.ready, ROLES))
        await asyncio.sleep(AFTER_SECONDS)
        await asyncio.gather(*map(crowd.finish, WRITERS))
        async with telex.Hub(url) as hub:
            late = await settled(hub, folder, conninfo)
            await asyncio.gather(*map(crowd.finish, ROLES[:4]))
            history = await look(hub, conninfo)
        read(folder, history)
        return history, chaos.happened, [*crowd.ended, *late]


async def settled(hub: telex.Hub, folder: Path, conninfo: str) -> list[str]:
    """Wait until all is published, received and handled; what is missing after `SETTLE_SECONDS`."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        late = [f"{info.group} has a lag of {info.lag}" for info in await hub.groups.list() if info.lag]
        if late and time.monotonic() < end:  # all else is read when the groups are done
            await asyncio.sleep(0.2)
            continue
        rows, invoices = len(rows_of(conninfo, "rows")), len(await texts(hub, "invoices"))
        if rows != invoices:
            late.append(f"{rows} rows of the outbox writer, and {invoices} messages")
        history = History(kept={topic: await texts(hub, topic) for topic in TOPICS})
        read(folder, history)
        for each in history.receptions:
            kept = history.kept[each.topic]
            if each.to_end and each.texts[-1:] != kept[-1:]:
                late.append(f"{each.subscriber} on {each.topic} waits for {kept[-1]}")
        if not late or time.monotonic() > end:
            return late
        await asyncio.sleep(0.2)


async def look(hub: telex.Hub, conninfo: str) -> History:
    """Return what the server has at the end."""
    history = History(kept={topic: await texts(hub, topic) for topic in TOPICS})
    history.bills, history.invoices = await texts(hub, "bills"), await texts(hub, "invoices")
    history.effects, history.charges = rows_of(conninfo, "effects"), rows_of(conninfo, "charges")
    history.rows = rows_of(conninfo, "rows")
    for name, period in TIMERS.items():
        timer = Timer(name, period, name == next(iter(TIMERS)), [])
        async for message in hub.topic(name).history():
            firing = msgspec.convert(message.content, telex.Firing)
            timer.firings.append(Firing(firing.number, firing.scheduled.timestamp()))
        history.timers.append(timer)
    return history


async def texts(hub: telex.Hub, topic: str) -> list[str]:
    return [message.content async for message in hub.topic(topic).history()]


def rows_of(conninfo: str, table: str) -> list[str]:
    with psycopg.connect(conninfo) as connection:
        return [text for (text,) in connection.execute(f"SELECT * FROM {table}".encode())]


async def attempt(
    server: PostgresServer, name: str, folder: Path, chance: random.Random
) -> tuple[History, list[str], list[str]]:
    """As `play_round`; an error of the round is its only problem, so that the next rounds are played."""
    try:
        return await play_round(server, name, folder, chance)
    except Exception as error:  # noqa: BLE001  # it is reported
        return History(kept={}), [], ["the round raised " + "".join(traceback.format_exception(error))[-3000:]]


async def play(folder: Path, rounds: int, seed: int, first: int = 0) -> Count:
    """Play some rounds; the first problems of each are printed."""
    count = Count()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with startable() as server:
        server.start()
        for number in range(first, first + rounds):
            own, began = folder / str(number), time.monotonic()
            own.mkdir()
            history, faults, ended = await attempt(server, f"chaos{number}", own, random.Random(f"{seed} {number}"))
            found = [f"round {number}: {problem}" for problem in [*ended, *problems(history)]]
            seconds = time.monotonic() - began
            count.add(history)
            count.slowest = max(count.slowest, seconds)
            count.problems += found
            for fault in faults:
                kind = fault.partition(" ")[0]
                count.faults[kind] = count.faults.get(kind, 0) + 1
            print(
                f"round {number} of {first + rounds}, {seconds:.1f} s, {len(found)} problems: {'; '.join(faults)}",
                flush=True,
            )
            print(*found[:10], sep="\n", end="\n" if found else "", flush=True)
            if not found:
                shutil.rmtree(own)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--keep", type=Path, help="a folder for the histories of rounds with problems")
    given = parser.parse_args()
    print("seed", given.seed, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            count = asyncio.run(play(given.keep or Path(folder), given.rounds, given.seed, given.first))
        except asyncio.CancelledError:
            print("stopped by SIGTERM before the last round", flush=True)
            return 128 + signal.SIGTERM
    found, count.problems = count.problems, []
    print(msgspec.json.encode(count).decode())
    print(*found[:20], sep="\n", end="\n" if found else "")
    minutes = (time.monotonic() - began) / 60
    print(f"{count.rounds} rounds with seed {given.seed} in {minutes:.0f} minutes: {len(found)} problems", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
