"""Arguments that factories make: `python examples/factories.py [URL]`. A test gives another factory."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import telex


async def open_client() -> AsyncIterator[str]:
    """Make one client for the process."""
    yield "a client of the bank"
    print("the client is closed")


def begin(client: Annotated[str, telex.Depends(open_client, scope="process")]) -> Iterator[str]:
    """Make a transaction for each call."""
    yield f"a transaction of {client}"
    print("committed")


async def pay(cents: int, tx: Annotated[str, telex.Depends(begin)]) -> str:
    """Pay in a transaction."""
    return f"{cents} cents paid in {tx}"


async def main(url: str | None) -> None:
    """Call the command as it is, and as a test does."""
    for overrides in ({}, {begin: lambda: "a test"}):
        hub = telex.Hub(url, overrides=overrides)
        hub.command("pay")(pay)
        async with hub:
            print(await hub.call("pay", 700))


asyncio.run(main(sys.argv[1] if sys.argv[1:] else None))
