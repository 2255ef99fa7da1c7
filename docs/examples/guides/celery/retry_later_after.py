import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)
stock: list[str] = []


@hub.on("parcels", group="shipping", retry=telex.Retry(attempts=11))
async def ship(item: str, context: telex.Context[str]) -> None:
    if item not in stock:
        stock.append(item)  # it is delivered meanwhile
        raise telex.Nack(delay="1m")
    print("shipped", item, "at attempt", context.attempt)


async def main() -> None:
    async with hub:
        await hub.topic("parcels").publish("cup")
        await hub.idle(timeout="2m")


clock.run(main())
# -> shipped cup at attempt 2
