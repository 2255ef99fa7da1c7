"""Messages that expire: `python examples/offers.py [URL]`. A group that was paused does not get an old offer, and a
subscriber that comes later does not, either.
"""

import asyncio
import sys

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)


@hub.on("offers", group="mailing")
async def mail(offer: str) -> None:
    """Mail an offer."""
    print("mailed:", offer)


async def main() -> None:
    """Publish an offer that ends soon, and one that lasts."""
    offers = hub.topic("offers")
    async with hub:
        await hub.idle()
        await hub.groups.pause("mailing")
        short = await offers.publish("tea, for 100 milliseconds", ttl="100ms")
        await offers.publish("coffee, for a day", ttl="1d")
        await asyncio.sleep(0.2)
        await hub.groups.resume("mailing")
        await hub.idle()
        print("expired:", hub.statistics().handlers[0].expired, short.expires is not None)
        print("kept:", [message.content async for message in offers.history()])
        async with offers.subscribe(start="earliest", report_lost=True) as inbox:
            print("read:", [getattr(item, "content", item) for item in await inbox.receive_many(timeout=10)])
            print("expired:", inbox.statistics().expired, "lost:", inbox.lost)


asyncio.run(main())
