"""A model of a log and its subscribers, as a program that anyone can check by reading.

It shares nothing with the kernel: every publish pushes into a plain list of every subscriber, at once, and retention is
worked out anew each time by going through all messages. The property tests hold the kernel to it, to the message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from telex import Lost, Message, Position
from telex.log.log import Retention
from telex.log.options import Options
from telex.message import EXPIRES

Told = Message[Any] | Lost


@dataclass(frozen=True)
class Arrival:
    """One message with its number in this log; for a pattern that is not the message's own."""

    number: int
    message: Message[Any]
    time: float

    @property
    def size(self) -> int:
        content = self.message.content
        assert isinstance(content, str)
        return len(content)

    def expired(self, now: float) -> bool:
        return EXPIRES in self.message.headers and float(self.message.headers[EXPIRES]) <= now


@dataclass(eq=False)
class Shelf:
    """A log."""

    retention: Retention
    epoch: str
    arrivals: list[Arrival] = field(default_factory=list)  # ever
    first: int = 1  # the oldest number kept
    readers: list[Reader] = field(default_factory=list)
    renewed: bool = False  # its topic was removed, and somebody reads it

    @property
    def end(self) -> int:
        return len(self.arrivals) + 1

    @property
    def kept(self) -> list[Arrival]:
        return self.arrivals[self.first - 1 :]

    def refusal(self, message: Message[Any]) -> set[str]:
        """The policies of those who have no room for a message and make its publisher wait or fail."""
        arrival = Arrival(self.end, message, 0)
        return {
            r.options.overflow
            for r in self.readers
            if r.options.overflow in ("block", "fail") and r.ended is None and not r.fits(arrival)
        }

    def publish(self, message: Message[Any], now: float) -> None:
        arrival = Arrival(self.end, message, now)
        self.arrivals.append(arrival)
        for reader in self.readers:
            reader.arrive(arrival)
        self.expire(now)

    def expire(self, now: float) -> None:
        """Apply retention."""
        messages, age, limit = self.retention.messages, self.retention.age, self.retention.bytes
        while self.kept and (
            (messages is not None and len(self.kept) > messages)
            or (age is not None and self.kept[0].time <= now - age)
            or (limit is not None and sum(a.size for a in self.kept) > limit)
        ):
            self.first += 1
        for reader in self.readers:
            reader.expire(self.first)

    def find(self, start: object, now: float) -> tuple[int, Lost | None]:
        """Where a subscriber begins, and what it is told of what is gone. A time is given as a float, a duration back
        as a tuple of one.
        """
        self.expire(now)
        if start == "new":
            return self.end, None
        if start == "earliest":
            return self.first, None
        if isinstance(start, Position):
            if start.epoch != self.epoch:
                return self.first, Lost(self.first - 1, 1, self.first - 1, "epoch")
            if start.seq >= self.end:
                return self.end, Lost(0, self.end, self.end - 1, "ahead")
            return self._from(start.seq + 1)
        if isinstance(start, int):
            return self._from(max(1, self.end - start))
        moment = now - start[0] if isinstance(start, tuple) else start
        assert isinstance(moment, float)
        later = [a.number for a in self.arrivals if a.time >= moment]
        if later and later[0] < self.first:
            return self.first, Lost(1, self.first - 1, self.first - 1, "trimmed")
        return (later[0] if later else self.end), None

    def _from(self, wanted: int) -> tuple[int, Lost | None]:
        if wanted < self.first:
            return self.first, Lost(self.first - wanted, wanted, self.first - 1, "trimmed")
        return wanted, None

    def subscribe(self, options: Options, start: int, told: Lost | None, longest: int) -> Reader:
        return Reader(self, options, start, told, longest)


class Reader:
    """A subscriber, and every message that was published since it began: received, lost or waiting."""

    def __init__(self, shelf: Shelf, options: Options, start: int, told: Lost | None, longest: int) -> None:
        self.shelf = shelf
        self.options = options
        self.live = shelf.end  # numbers below are its backlog
        self.told = told
        self.noticed: Lost | None = None  # a hole as it was when a batch ended there; it may be told so
        self.published = 0 if told is None else told.count
        self.lost = 0 if told is None else told.count
        self.gone: list[int] = []  # the numbers of what it missed
        self.waiting: list[Arrival] = []
        self.received: list[Arrival] = []
        self.expired = 0
        self.position = start - 1  # of the last that it received
        self.next = start  # the number after the last that it received, or after the last that it was told
        self.ended: str | None = None
        self.stopped = False
        self.hand = 0  # under catch_up: so many of `waiting` were given out already, as one run
        self.longest = longest  # and so long may such a run be
        for arrival in shelf.arrivals[start - 1 :]:
            if options.overflow == "latest":
                self.arrive(arrival)
            else:
                self.published += 1
                self.waiting.append(arrival)
        shelf.readers.append(self)

    # -- what a publisher does to it

    def counted(self) -> list[Arrival]:
        """What the buffer counts."""
        return [a for a in self.waiting if a.number >= self.live or self.options.overflow == "latest"]

    def within(self, waiting: list[Arrival]) -> bool:
        bound = self.options.buffer_bytes
        return len(waiting) <= self.buffer and (bound is None or sum(a.size for a in waiting) <= bound)

    @property
    def buffer(self) -> int:
        return 1 if self.options.overflow == "latest" and self.options.key is None else self.options.buffer

    def fits(self, arrival: Arrival) -> bool:
        return self.within([*self.counted(), arrival])

    def arrive(self, arrival: Arrival) -> None:
        if self.stopped:
            return
        self.published += 1
        overflow, key = self.options.overflow, self.options.key
        if self.ended is not None:
            self.miss(arrival)
        elif overflow == "catch_up":
            self.waiting.append(arrival)
        elif overflow in ("drop_oldest", "latest"):
            if key is not None:
                for older in [a for a in self.waiting if key(a.message) == key(arrival.message)]:
                    self.take_back(older)
            self.waiting.append(arrival)
            while not self.within(self.counted()):
                self.take_back(self.counted()[0])
        elif self.fits(arrival):
            self.waiting.append(arrival)
        else:
            assert overflow in ("drop_newest", "close"), "publishers ask first"
            self.miss(arrival)
            if overflow == "close":
                self.ended = "slow"

    def miss(self, arrival: Arrival) -> None:
        self.lost += 1
        self.gone.append(arrival.number)

    def take_back(self, arrival: Arrival) -> None:
        self.waiting.remove(arrival)
        self.miss(arrival)

    def expire(self, first: int) -> None:
        """The log keeps nothing below ``first`` any more, which only `catch_up` notices."""
        if self.options.overflow == "catch_up" and self.ended is None:
            for arrival in [a for a in self.waiting[self.hand :] if a.number < first]:
                self.take_back(arrival)

    # -- what its subscriber does

    def end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            if why != "slow":
                self.stop()

    def stop(self) -> None:
        if self.ended is None:
            self.ended = "stopped"
        self.stopped = True

    def peek(self) -> Told | None:
        """What a take gives next."""
        if self.told is not None:
            return self.told
        # Where the next message stands, or, when none waits, where one that arrives now would.
        if self.waiting:
            until = self.waiting[0].number
        else:
            until = max(self.next, max(self.gone, default=0) + 1)
        if self.options.report_lost and until > self.next:
            trimmed = self.options.overflow == "catch_up"
            return Lost(until - self.next, self.next, until - 1, "trimmed" if trimmed else "overflow")
        return self.waiting[0].message if self.waiting else None

    def pass_expired(self, now: float) -> None:
        """Pass over the next messages that have expired; a hole before them is told first."""
        while self.told is None and self.waiting and self.waiting[0].expired(now):
            number = self.waiting[0].number
            if self.options.report_lost and number > self.next:
                return
            self.grab()
            self.waiting.pop(0)
            self.hand -= 1
            self.expired += 1
            self.position, self.next = number, number + 1

    def take(self, given: object = None, now: float = 0.0) -> Told | None:
        """One message or hole; None when nothing waits. ``given`` is what the kernel gave."""
        self.pass_expired(now)
        item, noticed = self.peek(), self.noticed
        self.noticed = None
        if noticed is not None and noticed == given and isinstance(item, Lost) and item.first == noticed.first:
            item = noticed  # the rest of the hole came after it was noticed, and is told as another
        if isinstance(item, Lost):
            if self.told is not None:
                self.told = None
                return item
            missed = set(self.gone)
            assert all(n in missed for n in range(item.first, item.last + 1)), "the model told what was not lost"
            self.grab()
            self.next = item.last + 1
        elif item is not None:
            self.grab()
            arrival = self.waiting.pop(0)
            self.hand -= 1
            self.received.append(arrival)
            self.position = arrival.number
            self.next = arrival.number + 1
        return item

    def grab(self) -> None:
        if not self.hand:
            self.hand = min(len(self.waiting), self.longest)

    def accounts(self) -> tuple[int, int, int, int]:
        """Published, received, lost, waiting."""
        counted = len(self.received) + self.lost + self.expired + len(self.waiting)
        assert self.published == counted, "the model does not add up"
        return self.published, len(self.received), self.lost, len(self.waiting)
