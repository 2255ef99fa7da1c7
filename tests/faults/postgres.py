"""Publishers, a live subscriber and a group at work on PostgreSQL, while something is done to the server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import telex
from telex.errors import EngineFailed

TOPIC = "orders:1"


class Account:
    """What was acknowledged to publishers, received by the subscriber, and handled by the group."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[int, int]] = []
        self.received: list[tuple[int, int]] = []
        self.handled: set[tuple[int, int]] = set()
        self.kept: list[tuple[int, int]] = []
        self.failed = 0
        self.lag = -1

    def problems(self) -> list[str]:
        """What went wrong, in words."""
        found = []
        if len(set(self.kept)) < len(self.kept):
            found.append("messages are kept twice")
        for name, messages in (("kept", self.kept), ("received", self.received), ("handled", list(self.handled))):
            lost = set(self.acknowledged) - set(messages)
            if lost:
                found.append(f"{len(lost)} of {len(self.acknowledged)} acknowledged messages were not {name}")
        if self.received != self.kept:
            found.append("the subscriber received something else than what is kept, or in another order")
        for publisher in {publisher for publisher, _ in self.kept}:
            own = [number for each, number in self.kept if each == publisher]
            if own != sorted(own):
                found.append(f"the messages of publisher {publisher} are out of order")
        if self.lag:
            found.append(f"the group has {self.lag} messages that are not settled")
        return found


async def at_work(url: str, harm: Callable[[], Awaitable[None]], *, publishers: int = 4) -> Account:
    """Publish, receive and handle until ``harm()`` returns, then until all is received and settled; the account."""
    account, stop = Account(), asyncio.Event()
    async with telex.Hub(url) as one, telex.Hub(url) as two:
        one.retain(">", messages=1_000_000)

        async def handle(content: list[int]) -> None:
            account.handled.add((content[0], content[1]))

        two.on(TOPIC, group="billing", lease="1s", retry=telex.Retry(attempts=100), run_in="loop")(handle)

        async def publish(number: int) -> None:
            topic, count = (one if number % 2 else two).topic(TOPIC), 0
            while not stop.is_set():
                try:
                    await topic.publish([number, count])
                except EngineFailed:
                    account.failed += 1
                else:
                    account.acknowledged.append((number, count))
                count += 1

        async with two.topic(TOPIC).subscribe(buffer=1_000_000) as inbox:

            async def receive() -> None:
                async for message in inbox:
                    account.received.append(pair(message))

            tasks = [asyncio.ensure_future(work) for work in (*map(publish, range(publishers)), receive())]
            await harm()
            stop.set()
            await asyncio.gather(*tasks[:-1])
            account.kept = [pair(message) async for message in one.topic(TOPIC).history()]
            for _ in range(300):
                (info,) = await two.groups.list()
                account.lag = info.lag
                if not account.lag and len(account.received) >= len(account.kept):
                    break
                await asyncio.sleep(0.1)
            tasks[-1].cancel()
            await asyncio.gather(tasks[-1], return_exceptions=True)
    return account


def pair(message: telex.Message[Any]) -> tuple[int, int]:
    """What a message says."""
    return message.content[0], message.content[1]
