"""A subscription with the model of it: what it gives, in whatever way it is taken, is compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from hypothesis import note

from telex import Closed, Lost, Message, Position, SlowSubscriber
from tests.unit.log.machine import shown
from tests.unit.log.model import Reader, Told

OVER = "it is over"


class Subscriber:
    """A subscription, what iterates it, and the model of it."""

    def __init__(self, number: int, subscription: Any, reader: Reader) -> None:
        self.number = number
        self.subscription = subscription
        self.reader = reader
        self.batches: AsyncIterator[Any] | None = None
        self.closed = False

    def take(self, way: str, limit: int) -> Coroutine[Any, Any, Any]:
        """What takes one thing, or one batch; it waits when nothing is there."""
        return {"receive": self._receive, "many": self._many, "loop": self._loop, "batches": self._batches}[way](limit)

    async def _receive(self, _: int) -> Any:
        return await self.subscription.receive()

    async def _many(self, limit: int) -> Any:
        return await self.subscription.receive_many(limit)

    async def _loop(self, _: int) -> Any:
        async for item in self.subscription:
            return item
        return OVER

    async def _batches(self, limit: int) -> Any:
        if self.batches is None:
            self.batches = self.subscription.batches(limit)
        return await anext(self.batches, OVER)

    def expect(self, given: object) -> None:
        for item in given if isinstance(given, tuple) else (given,):
            expected: Told | None = self.reader.take(item)
            note(f"subscriber {self.number} is given {shown(item)}")
            same = item is expected if isinstance(item, Message) else item == expected
            assert same, f"given {shown(item)}, and {shown(expected)} was next"
        if isinstance(given, tuple) and isinstance(hole := self.reader.peek(), Lost):
            self.reader.noticed = hole

    def expect_end(self, error: Exception | None) -> None:
        """It was given no more: ``error``, or the end of a loop."""
        reader = self.reader
        assert self.closed or (reader.peek() is None and reader.ended is not None)
        if error is None:
            assert self.closed or reader.ended in ("closed", "removed")
        elif isinstance(error, SlowSubscriber):
            assert reader.ended == "slow"
            assert error.lost == reader.lost
            reader.stop()
        else:
            assert isinstance(error, Closed)

    def check(self) -> None:
        reader, statistics = self.reader, self.subscription.statistics()
        accounts = (statistics.published, statistics.received, statistics.lost, statistics.waiting)
        assert accounts == reader.accounts(), f"published, received, lost, waiting: {accounts}"
        assert self.subscription.position == Position(reader.position, reader.shelf.epoch)
        assert self.subscription.lost == reader.lost
        assert self.subscription.waiting == len(reader.waiting)
        assert statistics.ended == ("closed" if self.closed else reader.ended)

    @property
    def waits(self) -> bool:
        """Whether a take waits, since there is nothing and something may come."""
        return self.reader.peek() is None and self.reader.ended is None

    async def compare(self, taking: asyncio.Future[Any]) -> None:
        """Compare what a take comes to; a cancelled one to nothing."""
        try:
            given = await taking
        except asyncio.CancelledError:
            self.batches = None
        except (Closed, SlowSubscriber) as error:
            self.expect_end(error)
        else:
            if given == OVER:
                self.expect_end(None)
            else:
                self.expect(given)
