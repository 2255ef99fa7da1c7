"""A worker of a command that streams: ``python -m tests.faults.stream_worker URL``. Its first attempt never ends."""

import asyncio
import sys
from collections.abc import AsyncIterator

import telex


async def main(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("count", lease="0.5s")
    async def count(upto: int, context: telex.CommandContext[int]) -> AsyncIterator[str]:
        for number in range(upto):
            yield f"{context.attempt}:{number}"
        if context.attempt == 1:
            await asyncio.Event().wait()

    async with hub:
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
