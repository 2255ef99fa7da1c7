"""The other process of a program on PostgreSQL: python -m tests.support.postgres_worker URL. It ends with its input."""

import asyncio
import sys

import telex

hub = telex.Hub(sys.argv[1])
count = hub.variable("count", 0)
hub.when(count >= 3, topic="milestones")


@hub.command("double", once=True)
async def double(number: int, tx: telex.Transaction) -> int:
    await tx.execute("INSERT INTO effects VALUES (%s)", (number,))
    await tx.publish("doubled", 2 * number)
    return 2 * number


@hub.command("plain")
async def plain(number: int) -> int:
    await count.add(1)
    return -number


@hub.on("orders:*", group="billing")
async def bill(content: int) -> None:
    await hub.topic("billed").publish(content)


@hub.on("chatroom:*")
async def answer(message: telex.Message[str]) -> None:
    if message.content == "hello":
        await hub.topic(message.topic).publish("welcome")


async def main() -> None:
    async with hub:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
