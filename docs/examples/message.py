import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        message = await hub.topic("orders:paid").publish({"order": 17}, headers={"source": "shop"})
        print(type(message.id), len(message.id))
        print(message.timestamp.tzinfo)
        print(message.content, message.topic, message.seq, dict(message.headers))
        print(sorted(message.to_dict()))


asyncio.run(main())
