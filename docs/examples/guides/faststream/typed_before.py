from faststream.nats import NatsBroker
from pydantic import BaseModel

broker = NatsBroker()


class Order(BaseModel):
    number: int
    cents: int


@broker.subscriber("orders")
async def bill(order: Order) -> None:
    print(order.number, order.cents)


async def main() -> None:
    await broker.publish(Order(number=17, cents=700), "orders")
