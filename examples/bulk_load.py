"""A handler of batches: `python examples/bulk_load.py [URL]`. Prices are loaded in bulk, and one is refused by hand."""

import asyncio
import logging
import sys

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)


@hub.on("prices", group="warehouse", batch=4, within="200ms", retry=telex.Retry(first="10ms"))
async def load(prices: list[int], context: telex.BatchContext[int]) -> None:
    """Load up to 4 prices at once: as soon as there are 4, at the latest 200 ms after the first."""
    for price, message in zip(prices, context.messages, strict=True):
        if price < 0:
            await context.reject(message, "a price below zero")
    print("loaded:", *(price for price in prices if price >= 0))


async def main() -> None:
    """Publish six prices."""
    async with hub:
        for price in (5, 8, -1, 7, 4, 9):
            await hub.topic("prices", int).publish(price)
        await hub.idle()
        for letter in await hub.groups.dead("warehouse"):
            print("refused:", letter.message.content, letter.reason)


logging.disable()  # the refused price is expected
asyncio.run(main())
