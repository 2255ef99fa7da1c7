from typing import Any

from faststream import BaseMiddleware, StreamMessage
from faststream.nats import NatsBroker


class Logged(BaseMiddleware):
    async def consume_scope(self, call_next: Any, msg: StreamMessage[Any]) -> Any:
        print("begins")
        try:
            return await call_next(msg)
        finally:
            print("ends")


broker = NatsBroker(middlewares=[Logged])


@broker.subscriber("orders")
async def bill(order: int) -> None:
    print("bill", order)


async def main() -> None:
    await broker.publish(17, "orders")
