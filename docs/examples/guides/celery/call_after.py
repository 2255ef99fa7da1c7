import asyncio
from dataclasses import dataclass

import telex

hub = telex.Hub()  # TELEX_URL, such as sqlite:///shop.db; by default memory://


@dataclass
class Line:
    item: str
    count: int


@hub.command("price")
def price(line: Line) -> int:
    return {"cup": 7, "plate": 12}[line.item] * line.count


async def main() -> None:
    async with hub:
        ticket = await hub.send("price", Line("cup", 3))
        print(await ticket.result(timeout=10))


asyncio.run(main())
# -> 21
