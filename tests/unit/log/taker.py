"""A subscription with the model of it: what it gives, in whatever way it is taken, is compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from hypothesis import note

from telex import Closed, Lost, Message, Position, SlowSubscriber, WouldBlock
from tests.unit.log.machine import shown
from tests.unit.log.model import Reader, Shelf, Told

OVER = "it is over"


class Subscriber:
    """A subscription, what iterates it, and the model of it."""

    def __init__(self, number: int, subscription: Any, reader: Reader) -> None:
        self.number = number
        self.subscription = subscription
        self.reader = reader
        self.later: list[Reader] = []  # in the next epochs of its topic
        self.past = (0, 0, 0, 0)  # published, received, lost and waiting in earlier ones
        self.batches: AsyncIterator[Any] | None = None
        self.closed = False

    @property
    def readers(self) -> list[Reader]:
        return [self.reader, *self.later]

    @property
    def last(self) -> Reader:
        """The one that gets what is published."""
        return self.readers[-1]

    def removed(self, shelf: Shelf) -> None:
        """Its topic goes on in another epoch."""
        old = self.last
        old.end("removed")
        if old.ended != "removed":
            return
        lost, waiting = 0, sum(len(reader.waiting) for reader in self.readers)
        fits = old.waiting and waiting <= old.options.buffer and old.options.buffer_bytes is None
        if self.later and not fits:
            lost = self.later.pop().published
        new = Reader(shelf, old.options, 1, Lost(lost, 1, 0, "epoch"), old.longest)
        if not new.options.report_lost:
            new.told = None
        self.later.append(new)

    def go_on(self) -> None:
        """It takes: when it has all of an epoch, from the next one."""
        while self.later and self.reader.peek() is None and not self.closed:
            self.past = self.accounts(self.reader)
            self.reader = self.later.pop(0)

    def accounts(self, *readers: Reader) -> tuple[int, int, int, int]:
        published, received, lost, waiting = map(sum, zip(self.past, *(r.accounts() for r in readers), strict=True))
        return published, received, lost, waiting

    def take_nowait(self) -> None:
        """Take one thing, and compare it. Raises what the subscription raises."""
        try:
            self.expect(self.subscription.receive_nowait())
        except WouldBlock:
            self.go_on()
            raise

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
            self.go_on()
            expected: Told | None = self.reader.take(item)
            note(f"subscriber {self.number} is given {shown(item)}")
            same = item is expected if isinstance(item, Message) else item == expected
            assert same, f"given {shown(item)}, and {shown(expected)} was next"
        if isinstance(given, tuple) and isinstance(hole := self.reader.peek(), Lost):
            self.reader.noticed = hole

    def expect_end(self, error: Exception | None) -> None:
        """It was given no more: ``error``, or the end of a loop."""
        self.go_on()
        reader = self.reader
        assert self.closed or (reader.peek() is None and reader.ended is not None)
        if error is None:
            assert self.closed or reader.ended == "closed"
        elif isinstance(error, SlowSubscriber):
            assert reader.ended == "slow"
            assert error.lost == self.accounts(*self.readers)[2]
            reader.stop()
        else:
            assert isinstance(error, Closed)

    def check(self) -> None:
        reader, statistics = self.reader, self.subscription.statistics()
        accounts = (statistics.published, statistics.received, statistics.lost, statistics.waiting)
        assert accounts == self.accounts(*self.readers), f"published, received, lost, waiting: {accounts}"
        assert self.subscription.position == Position(reader.position, reader.shelf.epoch)
        assert (self.subscription.lost, self.subscription.waiting) == accounts[2:]
        assert statistics.ended == ("closed" if self.closed else self.last.ended)

    @property
    def waits(self) -> bool:
        """Whether a take waits, since there is nothing and something may come."""
        return all(reader.peek() is None for reader in self.readers) and self.last.ended is None

    async def compare(self, taking: asyncio.Future[Any]) -> None:
        """Compare what a take comes to; a cancelled one to nothing."""
        try:
            given = await taking
        except asyncio.CancelledError:
            self.batches = None
            self.go_on()
        except (Closed, SlowSubscriber) as error:
            self.expect_end(error)
        else:
            if given == OVER:
                self.expect_end(None)
            else:
                self.expect(given)
        finally:
            del taking  # its error refers to this frame: the subscription would live until the garbage collector runs
