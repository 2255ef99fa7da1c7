"""A handler of batches: `python examples/bulk_load.py [URL]`. Sales are loaded in bulk, and one is refused by hand."""

import asyncio
import logging
import sys
from dataclasses import dataclass

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)


@dataclass
class Sale:
    """One sale."""

    number: int
    price: int


@hub.on("sales", group="warehouse", batch=4, within="200ms", retry=telex.Retry(first="10ms"))
async def load(sales: list[Sale], context: telex.BatchContext[Sale]) -> None:
    """Load up to 4 sales at once: as soon as there are 4, at the latest 200 ms after the first."""
    for sale, message in zip(sales, context.messages, strict=True):
        if sale.price < 0:
            await context.reject(message, "a price below zero")
    print("loaded:", *(sale.number for sale in sales if sale.price >= 0))


async def main() -> None:
    """Publish six sales."""
    async with hub:
        for number, price in enumerate((5, 8, -1, 7, 4, 9)):
            await hub.topic("sales", Sale).publish(Sale(number, price))
        await hub.idle()
        for letter in await hub.groups.dead("warehouse"):
            print("refused:", letter.message.content.number, letter.reason)


logging.disable()  # the refused sale is expected
asyncio.run(main())
