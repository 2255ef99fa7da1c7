"""A program with limits that is killed: python -m tests.faults.limits_worker URL NOTES.

What it does is told in NOTES, a line a time, each by one call, so it is there whole or not at all:

ready pid time
begin pid time key number attempt
end pid time key number
"""

import asyncio
import os
import random
import sys
import time

import telex

LEASE = 1.0
RATE, BURST, CONCURRENCY = 20, 3, 3
LIMIT = telex.Limit(rate=f"{RATE}/s", burst=BURST, concurrency=CONCURRENCY, name="bank")
KEYS = ("a", "b")


def declare(hub: telex.Hub, notes: int) -> None:
    """Declare a handler and a command that share a limit."""

    def note(*fields: object) -> None:
        os.write(notes, (" ".join(map(str, fields)) + "\n").encode())

    async def work(number: int, attempt: int) -> None:
        key, pid = KEYS[number % 2], os.getpid()
        note("begin", pid, time.monotonic(), key, number, attempt)
        await asyncio.sleep(random.uniform(0.02, 0.3))
        note("end", pid, time.monotonic(), key, number)

    @hub.on(
        "jobs", group="g", limit=LIMIT, by=lambda number: KEYS[number % 2], concurrency=6, lease=LEASE, retry=PATIENT
    )
    async def handle(number: int, context: telex.Context[int]) -> None:
        await work(number, context.attempt)

    @hub.command(
        "job", limit=LIMIT, by=lambda number: KEYS[number % 2], concurrency=6, lease=LEASE, once=True, max_attempts=50
    )
    async def carry_out(number: int, context: telex.CommandContext[int]) -> int:
        await work(number, context.attempt)
        return number

    note("ready", os.getpid(), time.monotonic())


PATIENT = telex.Retry(attempts=50, first=0.05, most=0.1)


async def main(url: str, notes: str) -> None:
    hub = telex.Hub(url, timeout=60)
    declare(hub, os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    async with hub:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
