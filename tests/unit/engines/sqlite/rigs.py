"""Engines on one file, each of which stands for a process, with what tests publish to them and claim of them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from time import time
from typing import Any

import telex
from telex.engines import Fetched, Groups, Settlement, engine_for
from telex.testing.conformance.rig import Rig, message
from tests.support.internals import bounded
from tests.support.shifting import set_time

FEW = {"page_messages": 25, "floor_messages": 1, "near_messages": 1}
"""With these, what is done for many messages is done for few."""


@asynccontextmanager
async def rigs_on(place: str | Path, count: int = 1, **bounds: int) -> AsyncIterator[list[Rig]]:
    """So many engines on one file, with these of its `FileBounds`."""
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{place}/telex.db?synchronous=normal"
        yield [await stack.enter_async_context(Rig(bounded(url, **bounds))) for _ in range(count)]


G = "billing"


def groups_of(rig: Rig) -> Groups:
    assert rig.engine.groups is not None
    return rig.engine.groups


def ask(place: Path, sql: str) -> list[tuple[Any, ...]]:
    """What is in the file."""
    with closing(sqlite3.connect(place / "telex.db")) as connection:
        return connection.execute(sql).fetchall()


async def send(rig: Rig, topic: str, *contents: object, key: str | None = None, ago: float = 0.0) -> None:
    """Publish, as if it were so long ago."""
    assert rig.engine.store is not None
    moment = time() - ago
    await rig.engine.store.append([message(topic, content, key=key, published=moment) for content in contents])


async def claim(rig: Rig, pattern: str, limit: int = 100, now: float | None = None, group: str = G) -> Fetched:
    """What a fetch that does not wait gives, at ``now``."""
    set_time(rig.engine, now)
    return await groups_of(rig).fetch(group, pattern, limit, 30.0, "me", 0.0)


async def settle(
    rig: Rig, pattern: str, settlements: Sequence[Settlement], now: float | None = None, group: str = G
) -> Sequence[bool]:
    """Settle deliveries at ``now``."""
    set_time(rig.engine, now)
    return await groups_of(rig).settle(group, pattern, settlements)


async def contents(rig: Rig, pattern: str, limit: int = 100, group: str = G) -> list[Any]:
    """What a claim gives, which is acked at once."""
    claimed = await claim(rig, pattern, limit, group=group)
    acks = [Settlement(delivery.position, delivery.token, "ack") for delivery in claimed.deliveries]
    assert all(await settle(rig, pattern, acks, group=group))
    return [delivery.message.content for delivery in claimed.deliveries]


def rig_on(place: Path) -> Rig:
    return Rig(engine_for(f"sqlite:///{place}/telex.db?synchronous=normal"))


async def publish_numbers(
    rig: Rig, topic: str, count: int, ago: float = 0.0, **options: Any
) -> list[telex.Message[Any]]:
    """Publish numbers, as if it were so long ago."""
    assert rig.engine.store is not None
    moment = time() - ago
    batch = [message(topic, number, published=moment, **options) for number in range(count)]
    return list(await rig.engine.store.append(batch))


def connect(place: Path) -> sqlite3.Connection:
    return sqlite3.connect(place / "telex.db", isolation_level=None)


def file_with(place: Path, count: int, ago: float = 0.0) -> sqlite3.Connection:
    """A connection to a file with so many messages in topic ``t``."""

    async def make() -> None:
        async with rig_on(place) as rig:
            await publish_numbers(rig, "t", count, ago=ago)

    asyncio.run(make())
    return connect(place)
