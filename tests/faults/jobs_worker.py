"""A worker of a command that is kept: ``python -m tests.faults.jobs_worker URL``. Its first attempt never ends."""

import asyncio
import sys

import telex


async def main(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("pack", lease="0.5s", keep="1h")
    async def pack(item: str, context: telex.CommandContext[str]) -> str:
        if context.attempt == 1:
            print("begun", flush=True)
            await asyncio.Event().wait()
        return f"{item}, attempt {context.attempt}"

    async with hub:
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
