"""FastStream's in-memory test broker: `publish` runs every handler before it returns.

Without a logger, and without FastDepends (`apply_types=False`): both as its documentation advises for speed.
"""

from collections.abc import Awaitable, Callable

from faststream.nats import NatsBroker, TestNatsBroker

from bench.peers import CONTENT


class Peer:
    def __init__(self) -> None:
        self._broker = NatsBroker(logger=None, apply_types=False)
        self._test = TestNatsBroker(self._broker)
        self._received: list[int] = []

    async def open(self, subscribers: int) -> None:
        self._received = [0] * subscribers
        for number in range(subscribers):
            self._broker.subscriber("chatroom.12345")(self._handler(number))
        await self._test.__aenter__()

    def _handler(self, number: int) -> Callable[[str], Awaitable[None]]:
        received = self._received

        async def receive(content: str) -> None:
            received[number] += 1

        return receive

    async def publish(self, count: int) -> None:
        publish = self._broker.publish
        for _ in range(count):
            await publish(CONTENT, "chatroom.12345")

    def behind(self) -> bool:
        return False

    async def close(self) -> list[int]:
        await self._test.__aexit__(None, None, None)
        return self._received
