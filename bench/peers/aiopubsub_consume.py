"""aiopubsub with a queue a subscriber, read by `consume`."""

# mypy: disable-error-code="import-untyped"

import asyncio

from aiopubsub import Hub, Key, Publisher, Subscriber

from bench.peers import CONTENT, Readers, caught_up


class Peer:
    def __init__(self) -> None:
        hub = Hub()
        self._hub = hub
        self._key = Key("chatroom", "12345")
        self._publisher = Publisher(hub, prefix="chatroom")
        self._subscribers: list[Subscriber] = []
        self._readers = Readers()

    async def open(self, subscribers: int) -> None:
        for number in range(subscribers):
            subscriber = Subscriber(self._hub, str(number))
            subscriber.subscribe(self._key)
            self._subscribers.append(subscriber)
        await self._readers.start(subscribers, self._read)

    async def _read(self, number: int) -> int:
        consume, count = self._subscribers[number].consume, 0
        try:
            while True:
                await consume()
                count += 1
        except asyncio.CancelledError:
            return count

    async def publish(self, count: int) -> None:
        publish, key = self._publisher.publish, Key("12345")
        for _ in range(count):
            publish(key, CONTENT)

    def behind(self) -> bool:
        # All queues have the same length when the publisher asks, and asking for one would ask for all.
        return False

    async def close(self) -> list[int]:
        await caught_up(lambda: any(self._hub.get_subscriber_queue_sizes(self._key)))
        return await self._readers.stop()
