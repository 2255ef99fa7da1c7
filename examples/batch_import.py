"""Long work: the rows of a file are imported, each once, with repeated commands and killed workers.

    python examples/batch_import.py worker               serves the command; start as many as you like
    python examples/batch_import.py import rows.csv      has a file imported, and shows how far that is
    python examples/batch_import.py demo                 all of it, with workers that are killed again and again

They meet in a file, warehouse.db, in the folder that WAREHOUSE names, or here. The rows go into a table of that file.
"""

import asyncio
import csv
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec

import telex

FOLDER = Path(os.environ.get("WAREHOUSE", "."))
CHUNK = 50
TABLES = (
    "CREATE TABLE IF NOT EXISTS items (name TEXT, pieces INTEGER)",
    "CREATE TABLE IF NOT EXISTS imports (key TEXT PRIMARY KEY, rows INTEGER)",
)


class Rows(msgspec.Struct):
    """The file to import."""

    path: str


def insert(rows: list[list[str]], connection: sqlite3.Connection) -> None:
    """Write some rows; nothing is committed here."""
    connection.executemany("INSERT INTO items VALUES (?, ?)", rows)


class Imported(msgspec.Struct):
    """The result of an import."""

    rows: int


def warehouse() -> telex.Hub:
    """Return a hub on the file that workers and clients share, which also has the table."""
    return telex.Hub(f"sqlite:///{FOLDER}/warehouse.db")


def declare(hub: telex.Hub) -> None:
    """The command of the warehouse."""

    @hub.command("import", once=True, lease="1s", max_attempts=20)
    async def import_rows(rows: Rows, ctx: telex.CommandContext[Rows]) -> Imported:
        with open(rows.path, newline="") as file:  # noqa: ASYNC230, PTH123  # a small file
            every = list(csv.reader(file))
        done = 0
        while done < len(every):
            # A part of the rows, and how many are done, are written together: who takes over goes on from there, and
            # who was only stalled finds that somebody has gone on.
            async with hub.transaction() as tx:
                ((done,),) = await tx.execute("SELECT coalesce(max(rows), 0) FROM imports WHERE key = ?", (ctx.key,))
                part = every[done : done + CHUNK]
                await tx.run(partial(insert, part))
                done += len(part)
                await tx.execute("INSERT OR REPLACE INTO imports VALUES (?, ?)", (ctx.key, done))
            ctx.progress(done / len(every), f"{done} of {len(every)} rows, attempt {ctx.attempt}")
            await asyncio.sleep(0.02)  # rows are harder to come by in earnest
        return Imported(len(every))


async def worker() -> None:
    """Serve until the process is killed."""
    hub = warehouse()
    declare(hub)
    async with hub:
        async with hub.transaction() as tx:
            for table in TABLES:
                await tx.execute(table)
        print("ready", flush=True)
        await asyncio.Event().wait()


async def import_file(path: str, key: str) -> None:
    """Send the command to import a file, and print its progress."""
    async with warehouse() as hub:
        ticket = await hub.send("import", Rows(path), key=key, type=Imported)
        async for step in ticket.progress():
            print(f"{step.fraction:4.0%} {step.text}", flush=True)
        outcome = await ticket.outcome()
        print(f"{outcome.value().rows} rows, attempt {outcome.attempt}{', replayed' if outcome.replayed else ''}")


def demo() -> None:
    """Import one file, sent three times, while workers are killed: each row is there once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text("".join(f"item {number},{number % 7}\n" for number in range(2000)))
        environment = os.environ | {"WAREHOUSE": folder}

        def start(*arguments: str) -> "subprocess.Popen[str]":
            output = subprocess.PIPE if arguments == ("worker",) else subprocess.DEVNULL
            return subprocess.Popen([sys.executable, __file__, *arguments], env=environment, stdout=output, text=True)

        def worker_ready() -> "subprocess.Popen[str]":
            process = start("worker")
            assert process.stdout is not None
            process.stdout.readline()
            return process

        at_work = worker_ready()
        clients = [start("import", str(path)) for _ in range(3)]
        kills = 0
        try:
            while kills < 3 and any(client.poll() is None for client in clients):
                time.sleep(1.0)
                at_work.send_signal(signal.SIGKILL)
                at_work.communicate()
                kills += 1
                at_work = worker_ready()
            for client in clients:
                client.wait(60)
        finally:
            at_work.kill()
            at_work.communicate()
        rows, names = asyncio.run(count(folder))
        print(f"{kills} workers killed, 3 senders, 2000 rows in the file: {rows} imported, {names} of them different")


async def count(folder: str) -> tuple[int, int]:
    """Return the number of rows, and the number of different rows."""
    async with telex.Hub(f"sqlite:///{folder}/warehouse.db") as hub, hub.transaction() as tx:
        ((rows, names),) = await tx.execute("SELECT count(*), count(DISTINCT name) FROM items")
        return rows, names


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker"]:
            asyncio.run(worker())
        case ["import", path]:
            # The key is of what is in the file: the same rows again are the same command.
            key = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
            asyncio.run(import_file(str(Path(path).absolute()), key))
        case ["demo"]:
            demo()
        case _:
            sys.exit(__doc__)
