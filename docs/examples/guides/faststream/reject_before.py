from faststream import AckPolicy
from faststream.exceptions import RejectMessage
from faststream.nats import JStream, NatsBroker

broker = NatsBroker()


@broker.subscriber("orders", queue="billing", stream=JStream("orders"), ack_policy=AckPolicy.NACK_ON_ERROR)
async def bill(cents: int) -> None:
    if cents < 0:
        raise RejectMessage  # the message is lost
    print("bill", cents)


async def main() -> None:
    await broker.publish(-5, "orders", stream="orders")
