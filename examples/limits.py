"""Limits over all processes: `python examples/limits.py [URL]`. Each customer gets ten mails a second at most, and the
bank two calls at once, from handlers and commands together.
"""

import asyncio
import sys
from time import monotonic

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)
bank = telex.Limit(concurrency=2, name="bank")
began: dict[str, list[float]] = {"ann": [], "bob": []}
running: list[int] = []
at_once: list[int] = []


@hub.on("mails", group="mailer", limit="10/s", by=lambda mail: mail["to"], concurrency=8)
async def send(mail: dict[str, str]) -> None:
    """Send a mail."""
    began[mail["to"]].append(monotonic())


@hub.on("bills", group="billing", limit=bank, concurrency=8)
async def bill(cents: int) -> None:
    """Call the bank."""
    running.append(cents)
    at_once.append(len(running))
    await asyncio.sleep(0.05)
    running.remove(cents)


async def main() -> None:
    """Send more than the limits allow."""
    async with hub:
        for number in range(12):
            await hub.topic("mails").publish({"to": "bob" if number % 4 == 3 else "ann"})
            await hub.topic("bills").publish(number)
        await hub.idle()
    print({name: len(times) for name, times in began.items()})
    print("nine mails in 0.8 s or more:", began["ann"][-1] - began["ann"][0] > 0.78)
    print("calls of the bank at once:", max(at_once))


asyncio.run(main())
