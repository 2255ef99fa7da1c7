"""Sync code beside async code: `python examples/sync_code.py [URL]`. Threads call the plain `def` functions here, and a
process calls the one that computes for long. The URL is memory:// by default, or that of a file or a database.
"""

import asyncio
import sys

import telex
import telex.blocking

hub = telex.Hub(sys.argv[1] if len(sys.argv) > 1 else "memory://", threads=8, processes=1)


@hub.command("primes", run_in="process")
def primes(below: int) -> int:
    """Count in a process: the event loop and the threads go on meanwhile."""
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, below))


@hub.on("questions", group="answers", concurrency=4)
def answer(below: int, hub: telex.blocking.Hub) -> None:
    """Answer in a thread, which may wait: for the database, for a file, for another command."""
    found = hub.call("primes", below, timeout=20)
    hub.topic("answered").publish({"below": below, "primes": found})


async def main() -> None:
    """Ask three questions."""
    async with hub, hub.topic("answered").subscribe() as answered:
        for below in (10, 100, 1000):
            await hub.topic("questions").publish(below)
        found = [(await answered.receive(20)).content for _ in range(3)]
        print("primes:", sorted(each["primes"] for each in found))


if __name__ == "__main__":
    asyncio.run(main())
