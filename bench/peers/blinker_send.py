"""blinker: `Signal.send` calls every receiver before it returns. Nothing is buffered."""

from collections.abc import Callable

from blinker import Signal

from bench.peers import CONTENT


class Peer:
    def __init__(self) -> None:
        self._signal = Signal()
        self._received: list[int] = []

    async def open(self, subscribers: int) -> None:
        self._received = [0] * subscribers
        for number in range(subscribers):
            # Held strongly, which blinker calls faster than through a weak reference.
            self._signal.connect(self._receiver(number), weak=False)

    def _receiver(self, number: int) -> Callable[..., None]:
        received = self._received

        def receive(sender: object, content: str) -> None:
            received[number] += 1

        return receive

    async def publish(self, count: int) -> None:
        send = self._signal.send
        for _ in range(count):
            send(self, content=CONTENT)

    def behind(self) -> bool:
        return False

    async def close(self) -> list[int]:
        return self._received
