import asyncio
import tempfile

import telex

hub = telex.Hub(f"sqlite:///{tempfile.mkdtemp()}/shop.db")


@hub.command("order:pay", once=True, lease="30s", keep="24h")
async def pay(cents: int, ctx: telex.CommandContext[int], tx: telex.Transaction) -> str:
    print("carried out, attempt", ctx.attempt)
    await tx.execute("INSERT INTO payments VALUES (?, ?)", (ctx.key, cents))
    return f"{cents} cents paid"


async def main() -> None:
    async with hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE payments (of TEXT, cents INTEGER)")
        tickets = [await hub.send("order:pay", 1200, key="order 17") for _ in range(3)]
        for ticket in tickets:
            outcome = await ticket.outcome(timeout=10)
            print(outcome.result, "replayed" if outcome.replayed else "")
        try:
            await hub.call("order:pay", 9900, key="order 17")
        except telex.KeyConflict as error:
            print(str(error).partition(";")[0])
        async with hub.transaction() as tx:
            print(await tx.execute("SELECT * FROM payments"))


asyncio.run(main())
