import asyncio

import telex

hub = telex.Hub()


@hub.command("count")
def count(word: str) -> int:
    return len(word)


@hub.command("total")
async def total(words: list[str], hub: telex.Hub) -> int:
    tickets = [await hub.send("count", word, type=int) for word in words]
    return sum(await asyncio.gather(*(ticket.result() for ticket in tickets)))


async def main() -> None:
    async with hub:
        print(await hub.call("total", ["cup", "plate", "spoon"]))


asyncio.run(main())
# -> 13
