import asyncio
import tempfile

import telex

hub = telex.Hub(f"sqlite:///{tempfile.mkdtemp()}/shop.db")
billed = asyncio.Event()


@hub.on("orders", group="billing", retry=telex.Retry(first=0.01), tx=True)
async def bill(order: int, tx: telex.Transaction) -> None:
    await tx.execute("INSERT INTO bills VALUES (?)", (order,))
    await tx.publish("bills", order)
    if not billed.is_set():
        billed.set()
        raise telex.Nack  # the row and the message are rolled back, and the order is redelivered


async def main() -> None:
    async with hub, hub.topic("bills").subscribe() as bills:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE bills (number INTEGER)")
        await hub.topic("orders").publish(17)
        print((await bills.receive(timeout=10)).content)
        async with hub.transaction() as tx:
            print(await tx.execute("SELECT number FROM bills"))


asyncio.run(main())
