"""Parts of the tests of commands: contents, a gate for handlers, records that are planted, a store in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

import telex
from telex.engines.contract.records import Record
from telex.errors import EngineFailed
from telex.once.machine import Entry, decode, encode
from telex.once.options import OnceOptions
from telex.once.store import OnceTransaction
from tests.support.internals import records_of


class Month(msgspec.Struct):
    year: int
    number: int


class Report(msgspec.Struct):
    title: str
    pages: int


class OutOfStock(telex.CommandError):
    code = "out_of_stock"


@dataclass
class Gate:
    """What a handler waits at, and says that it is there."""

    reached: asyncio.Event
    opened: asyncio.Event
    passed: int = 0

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()
        self.passed += 1


def building(hub: telex.Hub, gate: Gate | None = None, **options: Any) -> list[int]:
    """Register the command `build`, which runs once for each key, passes through the gate and returns its content.
    Return the list of what it has begun.
    """
    ran: list[int] = []

    @hub.command("build", once=True, **options)
    async def build(number: int) -> int:
        ran.append(number)
        if gate:
            await gate.pass_through()
        return number

    return ran


async def unreachable(*args: object, **options: object) -> None:
    """A method of a store that is out of reach."""
    raise EngineFailed("reading", "the disk is gone")


async def entry_of(hub: telex.Hub, command: str, key: str) -> tuple[Entry, int]:
    record = await records_of(hub).get(f"once:{command}", key)
    assert record is not None
    return decode(record.value), record.revision


async def plant(hub: telex.Hub, command: str, key: str, entry: Entry, revision: int = 0) -> int:
    """Another worker, which cannot be seen from here, has written this."""
    written = await records_of(hub).put(f"once:{command}", key, encode(entry), revision)
    assert written is not None
    return written


def is_past(moment: float) -> bool:
    return time.time() > moment


ONCE = OnceOptions(lease=40.0, keep=1000.0, max_attempts=3, backoff=0.1, version=1, store=None)


class Store:
    """Records in memory, as `telex.once.OnceStore`; `before` is called before, and `after` after, each put."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.expires: list[float | None] = []
        self.fails = False
        self.fails_after = False
        self.clock: list[float] = [0.0]
        self.takes = 0.0
        """Seconds of `clock` that a put takes."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, bucket: str, key: str) -> Record | None:
        return self.records.get(key)

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        self.expires.append(expires)
        if self.fails:
            raise EngineFailed("putting a record", "the answer was lost")
        self.clock[0] += self.takes
        known = self.records.get(key)
        if (known.revision if known else 0) != revision:
            return None
        self.records[key] = Record(value, revision + 1)
        if self.fails_after:
            raise EngineFailed("putting a record", "the answer was lost")
        return revision + 1

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        return self.records.pop(key, None) is not None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OnceTransaction]:
        raise NotImplementedError("no test here asks for one")
        yield
