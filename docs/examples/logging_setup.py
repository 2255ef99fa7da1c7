import asyncio
import logging
import sys

import telex

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
logging.getLogger("telex.handlers").setLevel(logging.ERROR)  # no warnings of handlers that are slow

hub = telex.Hub()


@hub.on("orders:*")
async def ship(order: int) -> None:
    raise LookupError(f"there is no order {order}")


async def main() -> None:
    async with hub:
        await hub.topic("orders:new").publish(17, id="o-17")


class OneLine(logging.Filter):
    """Leave out stacks, here for the page."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


logging.getLogger().handlers[0].addFilter(OneLine())
asyncio.run(main())
