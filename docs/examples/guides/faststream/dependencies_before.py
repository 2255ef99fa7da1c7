from collections.abc import AsyncIterator
from typing import Annotated

from faststream import Depends
from faststream.nats import NatsBroker

broker = NatsBroker()


async def begin() -> AsyncIterator[list[str]]:
    rows: list[str] = []
    yield rows
    print("commit", rows)


@broker.subscriber("orders")
async def bill(order: str, rows: Annotated[list[str], Depends(begin)]) -> None:
    rows.append(order)


async def main() -> None:
    await broker.publish("tea", "orders")
