"""A worker that is killed and stopped: python -m tests.faults.once_worker URL NOTES CONNINFO.

What it does is told in NOTES, a line a time, before and after: a line is written by one call, so it is there whole or
not at all. Times are of the machine's monotonic clock, which all its processes share.
"""

import asyncio
import os
import random
import sys
import time
from typing import Any

import telex
from telex.once import OnceStore

LEASE = 0.6


def declare(hub: telex.Hub, notes: int, store: OnceStore | None) -> None:
    def note(what: str, ctx: telex.CommandContext[str]) -> None:
        os.write(notes, f"{what} {ctx.key} {os.getpid()} {ctx.attempt} {time.monotonic()}\n".encode())

    async def work(ctx: telex.CommandContext[str]) -> str:
        note("begin", ctx)
        await asyncio.sleep(random.random() * 0.01)
        note("effect", ctx)
        return f"{ctx.key} {os.getpid()} {random.random()}"

    @hub.command("plain", once=True, lease=LEASE, max_attempts=50)
    async def plain(key: str, ctx: telex.CommandContext[str]) -> str:
        return await work(ctx)

    @hub.command("tx", once=True, lease=LEASE, max_attempts=50)
    async def in_transaction(key: str, ctx: telex.CommandContext[str], tx: telex.Transaction) -> str:
        result = await work(ctx)
        await tx.execute("INSERT INTO charges VALUES (?)", (key,))
        return result

    if store is not None:

        @hub.command("postgres", once=True, lease=LEASE, max_attempts=50, store=store)
        async def in_postgres(key: str, ctx: telex.CommandContext[str], tx: Any) -> str:
            await tx.execute("INSERT INTO charges VALUES (%s)", (key,))
            return await work(ctx)


async def tell_stalls(notes: int) -> None:
    """A machine that is too busy stalls a process as a signal does: then that is noted, too."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(LEASE / 12)
        now = time.monotonic()
        if now - last > LEASE / 4:
            os.write(notes, f"stall {last} {os.getpid()} 0 {now}\n".encode())
        last = now


async def main(url: str, notes: int, conninfo: str) -> None:
    store: OnceStore | None = None
    if conninfo:
        from telex.once import PostgresStore

        store = PostgresStore(conninfo)
    async with telex.Hub(url) as hub:
        declare(hub, notes, store)
        stalls = asyncio.create_task(tell_stalls(notes))
        os.write(notes, f"ready - {os.getpid()} 0 {time.monotonic()}\n".encode())
        await stalls


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.argv[3]))
