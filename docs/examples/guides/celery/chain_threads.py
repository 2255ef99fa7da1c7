import asyncio

import telex
import telex.blocking

hub = telex.Hub()


@hub.command("scale")
def scale(picture: str, hub: telex.blocking.Hub) -> None:
    hub.send("store", f"small {picture}")  # as task.delay(...) in a task: it does not wait for the result
    hub.topic("scaled").publish(picture)


@hub.command("store")
def store(picture: str) -> None:
    print("stored", picture)


async def main() -> None:
    async with hub:
        await hub.call("scale", "cup.png")
        await hub.idle()


asyncio.run(main())
# -> stored small cup.png
