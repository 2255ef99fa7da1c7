"""A worker of commands: ``python -m tests.faults.jobs_worker URL [PLAN]``.

The first attempt of ``pack``, which is kept, never ends. With the PLAN "dies" the worker kills itself when it
acknowledges a command, after it has published the outcome.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import telex
from tests.support.internals import groups_of


async def main(url: str, plan: str) -> None:
    hub = telex.Hub(url)

    @hub.command("pack", lease="0.5s", keep="1h")
    async def pack(item: str, context: telex.CommandContext[str]) -> str:
        if context.attempt == 1:
            print("begun", flush=True)
            await asyncio.Event().wait()
        return f"{item}, attempt {context.attempt}"

    @hub.command("ship", lease="0.5s")
    async def ship(item: str) -> str:
        print("shipped", flush=True)
        return item

    async with hub:
        if plan == "dies":
            groups: Any = groups_of(hub)
            groups.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], (*sys.argv, "")[2]))
