import asyncio

import telex
from telex.middleware import Next, deduplicate, timeout

hub = telex.Hub("memory://")
done = asyncio.Event()


def logged(next: Next) -> Next:
    async def step(message: telex.Message[str]) -> object:
        print("begins", message.content)
        try:
            return await next(message)
        finally:
            print("ends", message.content)

    return step


@hub.on("jobs", middleware=[deduplicate(lambda message: message.content), timeout("5s"), logged])
async def work(content: str) -> None:
    if content == "last":
        done.set()


async def main() -> None:
    async with hub:
        for content in ("tea", "tea", "last"):
            await hub.topic("jobs").publish(content)
        await done.wait()


asyncio.run(main())
