import asyncio
import tempfile

import telex


async def main() -> None:
    async with telex.Hub(f"sqlite:///{tempfile.mkdtemp()}/shop.db") as hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, price INTEGER)")
            await tx.execute("INSERT INTO orders VALUES (?, ?)", (17, 12))
            await tx.publish("orders:new", {"number": 17})
        try:
            async with hub.transaction() as tx:
                await tx.execute("INSERT INTO orders VALUES (?, ?)", (18, 5))
                await tx.publish("orders:new", {"number": 18})
                raise RuntimeError("the customer has gone")
        except RuntimeError as error:
            print(error)
        async with hub.transaction() as tx:
            print(await tx.execute("SELECT number, price FROM orders"))
        print([message.content async for message in hub.topic("orders:new").history()])


asyncio.run(main())
