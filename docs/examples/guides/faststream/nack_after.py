import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()  # the minute takes no time here
hub = telex.Hub("memory://", clock=clock)
stock: list[str] = []


@hub.on("parcels", group="shipping", retry=telex.Retry(attempts=10))
async def ship(item: str) -> None:
    if item not in stock:
        stock.append(item)  # it is delivered meanwhile
        raise telex.Nack(delay="1m")
    print("shipped", item)


async def main() -> None:
    async with hub:
        await hub.topic("parcels").publish("cup")
        await hub.idle(timeout="2m")


clock.run(main())
# -> shipped cup
