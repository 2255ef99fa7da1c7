"""Limits over all processes: `python examples/limits.py [URL]`. One customer's mails do not delay those of others."""

import asyncio
import sys

import telex

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)
mails: list[tuple[str, float]] = []
calls: set[int] = set()


@hub.on("mails", group="mailer", limit="10/s", by=lambda to: to, concurrency=8)
async def send(to: str) -> None:
    """Send a mail."""
    mails.append((to, asyncio.get_running_loop().time()))


@hub.command("refund", limit=telex.Limit(concurrency=2, name="bank"))
async def refund(cents: int) -> int:
    """Call the bank, and return how many calls it had at that time."""
    calls.add(cents)
    at_once = len(calls)
    await asyncio.sleep(0.05)
    calls.remove(cents)
    return at_once


async def main() -> None:
    """Send more than the limits allow."""
    async with hub:
        for to in "ann", "ann", "ann", "ann", "bob":
            await hub.topic("mails").publish(to)
        print("at once:", max(await asyncio.gather(*(hub.call("refund", cents) for cents in range(6)))))
        await hub.idle()
    print("mails:", [to for to, _ in mails], mails[-1][1] - mails[0][1] > 0.28)


asyncio.run(main())
