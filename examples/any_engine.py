"""One program for every engine: `python examples/any_engine.py [URL]`. The URL is memory:// by default, and may be
sqlite:///shop.db or postgresql://user@host/database. The program has a chat room, a group, a command that runs once, a
follower of its outcomes, a timer, a variable with a condition, and history from a position.
"""

import asyncio
import sys
from time import time_ns

import telex

WITHIN = 20.0
"""The seconds that each step may take."""
RUN = f"run{time_ns()}"
"""A part of the names that end: a file and a database still have those of earlier runs."""


def declare(hub: telex.Hub) -> None:
    """Declare the handlers, commands and conditions of the shop."""

    @hub.on("orders", group="billing")
    async def bill(order: dict[str, int], hub: telex.Hub) -> None:
        await hub.topic("bills").publish({"order": order["number"], "cents": 700})

    @hub.command("pay", once=True)
    async def pay(cents: int, context: telex.CommandContext[int]) -> str:
        return f"{cents} cents paid, attempt {context.attempt}"

    sold = hub.variable(f"sold:{RUN}", 0)
    hub.when(sold >= 2, topic=f"sold-out:{RUN}")

    @hub.on("bills", group="stock")
    async def count(bill: dict[str, int]) -> None:
        await sold.add(1)

    hub.after("200ms", topic=f"closing-time:{RUN}")


async def chat(hub: telex.Hub) -> None:
    """Say something in a room, hear it, and come back later for the messages in between."""
    room = hub.topic("chatroom:lobby")
    async with room.subscribe() as inbox:
        await room.publish("hello")
        print("heard:", (await inbox.receive(WITHIN)).content)
        left = inbox.position
    for text in ("are you there?", "never mind"):
        await room.publish(text)
    print("missed:", [getattr(item, "content", item) async for item in room.history(start=left)])
    async with room.subscribe(start=left) as inbox:
        print("read again:", [getattr(await inbox.receive(WITHIN), "content", None) for _ in range(2)])


async def sell(hub: telex.Hub) -> None:
    """Have a group handle orders; their number is a variable, and its limit publishes a message."""
    async with hub.topic(f"sold-out:{RUN}").subscribe() as sold_out, hub.topic("bills").subscribe() as bills:
        for number in (1, 2):
            await hub.topic("orders").publish({"number": number}, key=f"customer {number}")
        billed = [(await bills.receive(WITHIN)).content["order"] for _ in range(2)]
        print("billed:", sorted(billed))
        await sold_out.receive(WITHIN)
        print("sold out")


async def charge(hub: telex.Hub) -> None:
    """Send one command three times; it runs once, and each sender gets its outcome."""
    async with hub.follow("pay") as outcomes:
        tickets = [await hub.send("pay", 700, key=f"order {RUN}") for _ in range(3)]
        print("paid:", {await ticket for ticket in tickets})
        outcome = await outcomes.receive(WITHIN)
        print("followed:", outcome.result if isinstance(outcome, telex.Outcome) else outcome)


async def main(url: str) -> None:
    """Run all of it."""
    hub = telex.Hub(url)
    declare(hub)
    async with hub, hub.topic(f"closing-time:{RUN}").subscribe(start="earliest") as closing:
        await chat(hub)
        await sell(hub)
        await charge(hub)
        await closing.receive(WITHIN)
        print("closing time")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "memory://"))
