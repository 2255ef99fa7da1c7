"""Limits over all processes: `python examples/limits.py [URL]`. Each customer gets ten mails a second at most. The bank
gets two calls at once, from a handler and a command together.
"""

import asyncio
import sys
from time import monotonic

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)
bank = telex.Limit(concurrency=2, name="bank")
mails: dict[str, list[float]] = {"ann": [], "bob": []}
calls: list[int] = []
at_once: list[int] = []


@hub.on("mails", group="mailer", limit="10/s", by=lambda mail: mail["to"], concurrency=8)
async def send(mail: dict[str, str]) -> None:
    """Send a mail."""
    mails[mail["to"]].append(monotonic())


@hub.on("bills", group="billing", limit=bank, concurrency=8)
@hub.command("refund", limit=bank)
async def call_bank(cents: int) -> None:
    """Call the bank."""
    calls.append(cents)
    at_once.append(len(calls))
    await asyncio.sleep(0.05)
    calls.remove(cents)


async def main() -> None:
    """Send more than the limits allow."""
    async with hub:
        for number in range(12):
            await hub.topic("mails").publish({"to": "bob" if number % 4 == 3 else "ann"})
            await hub.topic("bills").publish(number)
        await asyncio.gather(*(hub.call("refund", cents) for cents in range(100, 106)))
        await hub.idle()
    print("mails:", {name: len(times) for name, times in mails.items()})
    print("nine mails take 0.8 s:", mails["ann"][-1] - mails["ann"][0] > 0.78)
    print("calls of the bank:", len(at_once), "at once:", max(at_once))


asyncio.run(main())
