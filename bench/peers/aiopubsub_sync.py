"""aiopubsub with sync listeners: `publish` calls each of them before it returns. Nothing is buffered."""

# mypy: disable-error-code="import-untyped"

from collections.abc import Callable

from aiopubsub import Hub, Key, Publisher, Subscriber

from bench.peers import CONTENT


class Peer:
    def __init__(self) -> None:
        hub = Hub()
        self._hub = hub
        self._publisher = Publisher(hub, prefix="chatroom")
        self._received: list[int] = []

    async def open(self, subscribers: int) -> None:
        self._received = [0] * subscribers
        for number in range(subscribers):
            Subscriber(self._hub, str(number)).add_sync_listener(Key("chatroom", "12345"), self._listener(number))

    def _listener(self, number: int) -> Callable[[object, str], None]:
        received = self._received

        def receive(key: object, content: str) -> None:
            received[number] += 1

        return receive

    async def publish(self, count: int) -> None:
        publish, key = self._publisher.publish, Key("12345")
        for _ in range(count):
            publish(key, CONTENT)

    def behind(self) -> bool:
        return False

    async def close(self) -> list[int]:
        return self._received
