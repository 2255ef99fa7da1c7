from dataclasses import dataclass

import telex

router = telex.Router()


@dataclass
class OrderPlaced:
    number: int
    cents: int


@router.on(OrderPlaced)
async def welcome(order: OrderPlaced, hub: telex.Hub) -> None:
    await hub.topic("mails").publish(f"order {order.number}: thank you")


@router.every("24h", name="nightly")
async def remind(hub: telex.Hub) -> None:
    await hub.topic("mails").publish("your basket waits")
