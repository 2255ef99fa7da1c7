"""Damage a file in random ways, again and again, and see that checking and opening it say what to do.

python -m tests.faults.damage --times 200
"""

import argparse
import asyncio
import logging
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check

PATIENCE = 20.0
"""Seconds after which a damaged file is said to hang who uses it."""
MENDS = ("telex check", "backup", "give", "move", "free", "update", "restore", "give telex", "skip", "messages")
"""One of these is in every text: what to do, or what is wrong where."""


class Count(msgspec.Struct):
    """What a series of damaged files has shown."""

    files: int = 0
    found_by_check: int = 0
    refused: int = 0
    failed: int = 0
    read: int = 0
    problems: list[str] = []


async def fill(path: Path) -> None:
    """A file with all that may be in one: topics, groups, dead letters, delayed messages, records, rules."""
    async with telex.Hub(f"sqlite:///{path}") as hub:
        hub.retain("orders", messages=200)

        @hub.on("orders", group="billing", start="earliest")
        async def bill(content: dict[str, object]) -> None:
            if content["number"] == 3:
                raise telex.Reject("the third")

        @hub.command("echo", once=True)
        async def echo(content: object) -> object:
            return content

        for number in range(120):
            await hub.topic("orders").publish({"number": number, "text": "é" * 40}, headers={"number": str(number)})
            await hub.topic(f"rooms:{number % 7}").publish(b"bytes" * 30, key=str(number % 3))
        await hub.topic("later").publish("later", delay=3600.0)
        await hub.call("echo", {"a": 1}, key="k")
        while not await hub.groups.dead():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file; what was done to it."""
    ways: list[Callable[[Path, random.Random], str]] = [flip, overwrite, cut, swap, text, cells, cells, cells]
    return chance.choice(ways)(path, chance)


def flip(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 5, 200))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return "bits flipped"


def overwrite(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    start, length = chance.randrange(len(data)), chance.choice((16, 512, 4096, 20_000))
    data[start : start + length] = chance.choice((bytes(length), chance.randbytes(length)))
    path.write_bytes(data[: path.stat().st_size])
    return f"{length} bytes from {start} on overwritten"


def cut(path: Path, chance: random.Random) -> str:
    size = chance.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut to {size} bytes"


def swap(path: Path, chance: random.Random) -> str:
    data, page = path.read_bytes(), 4096
    one, two = chance.randrange(len(data) // page) * page, chance.randrange(len(data) // page) * page
    changed = bytearray(data)
    changed[one : one + page], changed[two : two + page] = data[two : two + page], data[one : one + page]
    path.write_bytes(changed)
    return f"pages at {one} and {two} swapped"


def text(path: Path, chance: random.Random) -> str:
    """Content that SQLite finds in order."""
    data = path.read_bytes()
    old, new = chance.choice(((b'{"number"', b'(("number"'), ("é".encode(), b"\xff\xfe"), (b"billing", b"bi\xffling")))
    times = chance.choice((1, 3, -1))
    path.write_bytes(data.replace(old, new, times))
    return f"{old!r} replaced by {new!r}"


def cells(path: Path, chance: random.Random) -> str:
    """A cell that SQLite finds in order, and telex did not write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'telex_%'")
        table = chance.choice(sorted(name for (name,) in names))
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = chance.choice(columns)
        value = chance.choice((None, -1, 2**62, 1e300, "text", "", b"\xff\x00", "(", "[" * 100_000, -1e9))
        if chance.random() < 0.2:
            sql, values = f"DELETE FROM {table} WHERE random() % 3 = 0", []
        else:
            sql = f"UPDATE OR REPLACE {table} SET {column} = ? WHERE random() % 5 = 0 OR {column} IS NULL"
            values = [value]
        try:
            connection.execute(sql, values)
        except sqlite3.Error as error:
            return f"nothing, as {error}"
    return f"{sql} {str(values)[:30]}"


async def use(path: Path, count: Count) -> None:
    """All that a program does with a file; each thing works, or raises an error of telex's."""
    try:
        async with asyncio.timeout(PATIENCE), telex.Hub(f"sqlite:///{path}", close_timeout=1.0) as hub:
            await _use_all(hub, count)
    except telex.ConnectFailed as error:
        count.refused += 1
        _check_words(count, str(error))
    except telex.BadName:
        count.failed += 1  # what the damaged file says is the name of a topic
    except telex.TelexError as error:
        count.failed += 1
        _check_words(count, str(error))


async def _use_all(hub: telex.Hub, count: Count) -> None:
    async with hub.topic("orders").subscribe(start="earliest", report_lost=True) as inbox:
        await _attempt(count, _read(hub))
        await _attempt(count, hub.topic("orders").publish({"number": 1}))
        await _attempt(count, hub.topic("rooms:1").publish("x", id="a"))
        await _attempt(count, inbox.receive_many(timeout=2))
        await _attempt(count, hub.groups.list())
        await _attempt(count, hub.groups.dead())
        await _attempt(count, hub.topic("t").publish("x", delay=0.01))


async def _attempt(count: Count, doing: Awaitable[object]) -> None:
    try:
        await doing
        count.read += 1
    except (telex.Closed, telex.BadName):
        pass  # the hub has failed before; or what the damaged file says is the name of a topic
    except telex.TelexError as error:
        count.failed += 1
        _check_words(count, str(error))


async def _read(hub: telex.Hub) -> None:
    for name in await hub.topics():
        messages = hub.topic(name).history()
        while True:
            try:
                await anext(messages)
            except StopAsyncIteration:
                break
            except telex.EngineFailed as error:
                if "the content is damaged" not in str(error):
                    raise


def _check_words(count: Count, told: str) -> None:
    if "Traceback" in told or not any(mend in told for mend in MENDS):
        count.problems.append(f"it does not say what to do: {told}")


class Listener(logging.Handler):
    """Hears what the event loop and the threads would print as tracebacks."""

    def __init__(self, count: Count) -> None:
        super().__init__(logging.ERROR)
        self.count = count

    def emit(self, record: logging.LogRecord) -> None:
        """A record with an exception is a traceback to a user."""
        if record.exc_info and record.name == "asyncio":
            self.count.problems.append(f"{record.getMessage()}: {record.exc_info[1]!r}"[:500])


def damage_often(folder: Path, times: int, seed: int) -> Count:
    """Damage so many copies of one file, and use each."""
    chance, count, whole = random.Random(seed), Count(problems=[]), folder / "whole.db"
    asyncio.run(fill(whole))
    assert not check(whole), "a whole file is in order"
    listener = Listener(count)
    logging.getLogger().addHandler(listener)
    level = logging.getLogger("telex").level
    logging.getLogger("telex").setLevel(logging.CRITICAL + 1)
    kinds: Counter[str] = Counter()
    try:
        for number in range(times):
            copy = folder / f"{number}.db"
            shutil.copyfile(whole, copy)
            done = damage(copy, chance)
            kinds[done.split()[0]] += 1
            before = len(count.problems)
            try:
                try:
                    told = check(copy)
                    count.found_by_check += bool(told)
                    for line in told:
                        _check_words(count, line) if len(told) == 1 else None
                except telex.ConnectFailed as error:
                    count.found_by_check += 1
                    _check_words(count, str(error))
                asyncio.run(use(copy, count))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                count.problems.append(f"{type(error).__name__}: {error}")
            count.files += 1
            count.problems[before:] = [f"{number} ({done}): {text}" for text in count.problems[before:]]
            for file in folder.glob(f"{number}.db*"):
                file.unlink()
    finally:
        logging.getLogger().removeHandler(listener)
        logging.getLogger("telex").setLevel(level)
    return count


def main() -> None:
    """Run a series, and say what it has shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = damage_often(Path(folder), chosen.times, chosen.seed)
    print(f"seed {chosen.seed}: {count.files} files, damage found by check in {count.found_by_check}")
    print(f"{count.refused} refused at opening, {count.read} things done, {count.failed} failed")
    for problem in count.problems[:20]:
        print(problem)
    sys.exit(1 if count.problems else 0)


if __name__ == "__main__":
    main()
