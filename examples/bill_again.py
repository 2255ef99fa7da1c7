"""A group handles messages again, and a message is withdrawn: `python examples/bill_again.py [URL]`."""

import asyncio
import sys

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)
price = {"now": 5}


@hub.on("orders", group="billing")
async def bill(number: int) -> None:
    """Bill an order."""
    print("order", number, "costs", price["now"])


async def main() -> None:
    """Bill three orders, the last two of them again, and cancel a reminder."""
    orders, reminders = hub.topic("orders"), hub.topic("reminders")
    async with hub:
        for number in (1, 2, 3):
            await orders.publish(number)
        await hub.idle()
        price["now"] = 4  # the price was wrong since order 2
        await hub.groups.seek("billing", 2)
        await hub.idle()
        reminder = await reminders.publish("pay order 3", delay="1d")
        print("cancelled:", await reminders.cancel(reminder.id), await reminders.cancel(reminder.id))


asyncio.run(main())
