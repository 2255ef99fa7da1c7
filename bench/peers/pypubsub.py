"""PyPubSub: `sendMessage` calls every listener before it returns. Nothing is buffered."""

# mypy: disable-error-code="import-untyped"

from collections.abc import Callable

from pubsub import pub

from bench.peers import CONTENT


class Peer:
    def __init__(self) -> None:
        self._received: list[int] = []
        # PyPubSub holds listeners weakly.
        self._listeners: list[Callable[[str], None]] = []

    async def open(self, subscribers: int) -> None:
        self._received = [0] * subscribers
        self._listeners = [self._listener(number) for number in range(subscribers)]
        for listener in self._listeners:
            pub.subscribe(listener, "chatroom")

    def _listener(self, number: int) -> Callable[[str], None]:
        received = self._received

        def receive(content: str) -> None:
            received[number] += 1

        return receive

    async def publish(self, count: int) -> None:
        send = pub.sendMessage
        for _ in range(count):
            send("chatroom", content=CONTENT)

    def behind(self) -> bool:
        return False

    async def close(self) -> list[int]:
        return self._received
