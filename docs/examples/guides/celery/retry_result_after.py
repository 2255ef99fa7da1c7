import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)
replies = [0, 0, 450]


@hub.command("charge", once=True, max_attempts=4, backoff="1s", keep="24h")
async def charge(order: int) -> int:
    cents = replies.pop(0)
    if not cents:
        raise ValueError("no answer from the bank")
    return cents


async def main() -> None:
    async with hub:
        print(await hub.call("charge", 17, key="order-17"))
        print(await hub.call("charge", 17, key="order-17"))  # a repeat gets the recorded result


clock.run(main())
# -> 450
# -> 450
