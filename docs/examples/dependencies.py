import asyncio
from collections.abc import Iterator
from typing import Annotated

import telex


class Pool:
    def __init__(self) -> None:
        print("the pool opens")

    def close(self) -> None:
        print("the pool closes")


def open_pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


def begin(pool: Annotated[Pool, telex.Depends(open_pool, scope="process")]) -> Iterator[list[str]]:
    rows: list[str] = []
    yield rows
    print("commit", rows)


Session = Annotated[list[str], telex.Depends(begin)]
hub = telex.Hub()


@hub.on("orders", group="billing")
async def bill(order: str, session: Session) -> None:
    session.append(order)


@hub.command("pay")
def pay(order: str, session: Session) -> int:  # in a thread
    session.append(f"paid {order}")
    return 700


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish("tea")
        await hub.idle()
        print(await hub.call("pay", "tea"))


asyncio.run(main())
