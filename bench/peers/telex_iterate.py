"""telex, read by `async for`: one message at a time."""

import telex
from bench.peers import BUFFER, CONTENT, TOPIC, Readers


class Peer:
    def __init__(self) -> None:
        self._hub = telex.Hub("memory://")
        self._subscriptions: list[telex.Subscription[str]] = []
        self._readers = Readers()

    async def open(self, subscribers: int) -> None:
        await self._hub.__aenter__()
        self._topic = self._hub.topic(TOPIC)
        self._subscriptions = [self._topic.subscribe(buffer=BUFFER) for _ in range(subscribers)]
        await self._readers.start(subscribers, self._read)

    async def _read(self, number: int) -> int:
        count = 0
        async with self._subscriptions[number] as inbox:
            async for _ in inbox:
                count += 1
        return count

    async def publish(self, count: int) -> None:
        publish = self._topic.publish_nowait
        for _ in range(count):
            publish(CONTENT)

    def behind(self) -> bool:
        return bool(self._subscriptions[-1].waiting)

    async def close(self) -> list[int]:
        await self._hub.aclose()
        return await self._readers.join()
