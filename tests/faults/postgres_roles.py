"""A process of the chaos on PostgreSQL: python -m tests.faults.postgres_roles ROLE URL FOLDER LIFE.

ROLE is ``publisher``, ``subscriber``, ``worker`` or ``outbox`` with a number, LIFE the number of its processes before.
It appends to FOLDER/ROLE.jsonl, see `tests.faults.postgres_history`, and ends with SIGTERM.
"""

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec
import psycopg

import telex
from tests.faults.postgres_history import Notes

PUBLISHERS, SUBSCRIBERS = 4, 4
"""In each process."""
TOPICS = ("orders:0", "orders:1")
LEASE = 1.0
TIMERS = {"ticks": 0.4, "tocks": 0.3}
"""The periods in seconds. The first timer makes up for all missed instants, the second one skips them."""
KEY_SECONDS = 0.25
"""Seconds for which the senders of all processes use the same key."""
ANSWER_SECONDS = 25.0
ROLLED_BACK = 0.3
"""The part of the outbox writer's transactions."""
_RETRY = telex.Retry(attempts=1000, first=0.05, most=0.5)


class Role:
    """One process: its hub is declared, opened and used."""

    def __init__(self, name: str, url: str, folder: Path, life: int) -> None:
        self.name = name
        self.url = url
        self.life = life
        self.path = folder / f"{name}.jsonl"
        self.notes = Notes(self.path)
        self.stop = asyncio.Event()

    def ready(self) -> None:
        """Note that the process is at work."""
        self.notes.write("ready", str(os.getpid()))

    async def run(
        self, declare: Callable[["Role", telex.Hub], None], work: Callable[["Role", telex.Hub], Awaitable[None]]
    ) -> None:
        """Open a hub, however often that fails while the server is away, and work until the process has to end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop.set)
        while not self.stop.is_set():
            hub, opened = telex.Hub(self.url, timeout=10), False
            hub.retain(">", messages=1_000_000)
            declare(self, hub)
            try:
                async with hub:
                    opened = True
                    await work(self, hub)
            except (telex.ConnectFailed, telex.Timeout, telex.EngineFailed):
                if opened:
                    raise
                await asyncio.sleep(0.1)


def declare_timers(role: Role, hub: telex.Hub) -> None:
    ticks, tocks = TIMERS
    hub.every(TIMERS[ticks], topic=ticks, name=ticks, misfire="all")
    hub.every(TIMERS[tocks], topic=tocks, name=tocks, misfire="skip")


def declare_workers(role: Role, hub: telex.Hub) -> None:
    """Two members of groups, a command and the timers."""
    declare_timers(role, hub)

    @hub.on("orders:*", group="plain", concurrency=4, lease=LEASE, retry=_RETRY)
    async def handle(text: str) -> None:
        role.notes.write("handled", text)

    @hub.on("orders:*", group="billing", concurrency=2, lease=LEASE, retry=_RETRY, tx=True)
    async def bill(text: str, tx: telex.Transaction) -> None:
        await tx.execute("INSERT INTO effects VALUES (%s)", (text,))
        await tx.publish("bills", text)
        await asyncio.sleep(random.random() * 0.01)

    @hub.command("charge", once=True, lease=LEASE, max_attempts=1000, backoff=0.05)
    async def charge(key: str, tx: telex.Transaction) -> str:
        await tx.execute("INSERT INTO charges VALUES (%s)", (key,))
        await asyncio.sleep(random.random() * 0.01)
        return f"{os.getpid()} {random.random()}"


async def wait(role: Role, hub: telex.Hub) -> None:
    role.ready()
    await role.stop.wait()


async def publish(role: Role, hub: telex.Hub) -> None:
    """Publish and send until the process has to end."""
    role.ready()
    await asyncio.gather(*(publish_orders(role, hub, number) for number in range(PUBLISHERS)), send(role, hub))


async def publish_orders(role: Role, hub: telex.Hub, number: int) -> None:
    topic, count = hub.topic(TOPICS[number % len(TOPICS)]), 0
    while not role.stop.is_set():
        text = f"{role.name}.{number}.{role.life} {count}"
        count += 1
        try:
            await topic.publish(text, key=f"{role.name}.{number}" if number == 0 else None)
        except telex.EngineFailed as error:
            role.notes.write("failed", text, str(error))
        else:
            role.notes.write("acknowledged", topic.id, text)
        await asyncio.sleep(random.random() * 0.06)


async def send(role: Role, hub: telex.Hub) -> None:
    """Send each command twice; the other process does the same."""
    last = ""
    async with asyncio.TaskGroup() as senders:
        while not role.stop.is_set():
            key = f"{int(time.time() / KEY_SECONDS)}"
            if key != last:
                last = key
                for _ in range(2):
                    senders.create_task(send_one(role, hub, key))
            await asyncio.sleep(random.random() * KEY_SECONDS / 2)


async def send_one(role: Role, hub: telex.Hub, key: str) -> None:
    """Send until there is a final outcome: while the server is away there may be none."""
    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end:
        try:
            ticket = await hub.send("charge", key, key=key)
            outcome = await ticket.outcome(timeout=ANSWER_SECONDS)
        except telex.EngineFailed as error:
            role.notes.write("failed", key, str(error))
        except telex.TelexError as error:
            role.notes.write("unanswered", key, repr(error))
            return
        else:
            if outcome.error is None:
                role.notes.write("outcome", key, str(outcome.result))
                return
            if outcome.error.final:
                role.notes.write("unanswered", key, str(outcome.error))
                return
            role.notes.write("failed", key, outcome.error.code)
        await asyncio.sleep(0.1)
    role.notes.write("unanswered", key, "no final outcome in time")


async def subscribe(role: Role, hub: telex.Hub) -> None:
    """Receive until the process has to end, from where the process before it was killed."""
    entering = asyncio.Barrier(SUBSCRIBERS)
    tasks = [asyncio.create_task(receive(role, hub, number, entering)) for number in range(SUBSCRIBERS)]
    ending = asyncio.create_task(role.stop.wait())
    done, _ = await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, ending):
        task.cancel()
    await asyncio.gather(*tasks, ending, return_exceptions=True)
    for task in done - {ending}:
        await task
        raise AssertionError("a subscription has ended by itself")


async def receive(role: Role, hub: telex.Hub, number: int, entering: asyncio.Barrier) -> None:
    """The last one reads a pattern, whose log has no position that outlives a process."""
    is_pattern = number == SUBSCRIBERS - 1
    name = f"{'pattern' if is_pattern else 'topic'}.{role.name}.{number}"
    topic = hub.topic("orders:*" if is_pattern else TOPICS[number % len(TOPICS)])
    start: telex.Position | Literal["new", "earliest"] = "new" if is_pattern else last_position(role.path, name)
    async with topic.subscribe(start=start, buffer=1_000_000, report_lost=True) as inbox:
        role.notes.write("entered", name, topic.id)
        if await entering.wait() == 0:
            role.ready()
        async for message in inbox:
            if isinstance(message, telex.Lost):
                role.notes.write("lost", name, repr(message))
            else:
                role.notes.write("received", name, message.topic, message.content, str(inbox.position))


def last_position(path: Path, name: str) -> telex.Position | Literal["earliest"]:
    """Return the position after the last message that a subscriber has noted."""
    for line in reversed(path.read_bytes().splitlines()):
        words = msgspec.json.decode(line, type=list[str])
        if words[:2] == ["received", name]:
            return telex.Position.parse(words[-2])
    return "earliest"


def write_outbox(role: Role) -> None:
    """Commit and roll back transactions of a connection of this program's own, without an event loop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    hub, chance, count = telex.Hub(role.url), random.Random(), 0
    role.ready()
    while not stop.is_set():
        try:
            with psycopg.connect(role.url, connect_timeout=5, application_name="outbox") as connection:
                while not stop.is_set():
                    text = f"{role.name}.{role.life} {count}"
                    count += 1
                    connection.execute("INSERT INTO rows VALUES (%s)", (text,))
                    hub.join(connection).publish("invoices", text)
                    if chance.random() < ROLLED_BACK:
                        connection.rollback()
                        role.notes.write("rolled", text)
                    else:
                        connection.commit()
                        role.notes.write("committed", text)
                    stop.wait(chance.random() * 0.06)
        except psycopg.OperationalError:  # the fate of the transaction is that of its row
            stop.wait(0.1)


async def main(role: Role) -> None:
    if role.name.startswith("publisher"):
        await role.run(declare_timers, publish)
    elif role.name.startswith("subscriber"):
        await role.run(lambda role, hub: None, subscribe)
    else:
        await role.run(declare_workers, wait)


if __name__ == "__main__":
    this = Role(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    if this.name.startswith("outbox"):
        write_outbox(this)
    else:
        asyncio.run(main(this))
