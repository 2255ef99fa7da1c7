import asyncio

import telex

hub = telex.Hub()


@hub.on("$connection")
def changed(change: telex.ConnectionChange) -> None:
    print("now", change.state, change.reason)  # on an engine with a server


async def main() -> None:
    async with hub:
        print(hub.connected)
        async for message in hub.topic("$connection").history():
            print(message.content.state)
    print(hub.connected)


asyncio.run(main())
