"""A state machine that does all that can be done to a log and its cursors, in any order, and to the model of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from telex import Lost, Message, Position
from telex.log.cursor import Cursor
from telex.log.log import Log, NoObserver, Retention, Tuning
from telex.log.options import Options
from telex.log.start import find
from telex.log.state import State
from telex.message import EXPIRES
from tests.unit.log import choices
from tests.unit.log.model import Reader, Shelf, Told

NOTHING = "nothing waits"
OVER = "nothing waits, and nothing will"


class Loop:
    """An ``async for`` without asyncio: the run that it goes through stays while other things happen."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.items = self.iterate()

    def next(self) -> Any:
        return next(self.items)

    def iterate(self) -> Iterator[Any]:
        cursor = self.cursor
        while True:
            state = cursor.load()
            if state is State.READY:
                limit = cursor.limit
                for item in cursor.buffer.current:
                    yield item
                    if cursor.log.end > limit:
                        break
            elif state is State.HOLE:
                yield cursor.tell()
            else:
                yield NOTHING if state is State.EMPTY else OVER


class Clocked(NoObserver):
    """What tells a log the time, for messages that expire."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time


class Subscriber:
    """A cursor, the loop over it, and the model of it."""

    def __init__(self, number: int, cursor: Cursor, reader: Reader, clock: Clocked) -> None:
        self.clock = clock
        self.number = number
        self.cursor = cursor
        self.reader = reader
        self.loop = Loop(cursor)
        self.closed = False

    # -- ways to take; each gives one thing, and `NOTHING` or `OVER`

    def by_take(self) -> Any:
        item = self.cursor.take()
        return shown_state(item) if isinstance(item, State) else item

    def by_one(self) -> Any:
        items = self.cursor.take_many(1)
        return shown_state(items) if isinstance(items, State) else items[0]

    def by_loop(self) -> Any:
        return self.loop.next()

    def receive(self, way: str) -> bool:
        """Take one thing and compare it; whether there was one."""
        item = {"take": self.by_take, "one": self.by_one, "loop": self.by_loop}[way]()
        self.expect(item)
        if item == OVER and self.cursor.ended == "slow":
            self.cursor.stop()
            self.reader.stop()
        return item not in (NOTHING, OVER)

    def receive_many(self, limit: int) -> None:
        items = self.cursor.take_many(limit)
        if isinstance(items, State):
            self.expect(shown_state(items))
            return
        assert 1 <= len(items) <= limit
        for item in items:
            self.expect(item)
        loads = self.cursor.options.overflow in ("latest", "block") and isinstance(items[-1], Message)
        if loads and len(items) < limit:
            self.reader.pass_expired(self.clock.time)  # such policies load one more message to see that none is there
        if isinstance(hole := self.reader.peek(), Lost):
            self.reader.noticed = hole

    def expect(self, item: Told | str) -> None:
        expected: Told | str | None = self.reader.take(item, self.clock.time)
        if expected is None:
            expected = NOTHING if self.reader.ended is None else OVER
        note(f"subscriber {self.number} is given {shown(item)}")
        if isinstance(item, Message):
            assert item is expected, f"given {shown(item)}, and {shown(expected)} was next"
        else:
            assert item == expected, f"given {shown(item)}, and {shown(expected)} was next"

    def check(self) -> None:
        cursor, reader = self.cursor, self.reader
        accounts = (cursor.published, cursor.received, cursor.lost, cursor.waiting)
        published, received, lost, waiting = accounts
        expired = cursor.expired
        sums = f"{published} published = {received} + {lost} + {waiting} + {expired} expired"
        assert published == received + lost + waiting + expired, sums
        assert expired == reader.expired, sums
        assert accounts == reader.accounts(), f"published, received, lost, waiting: {accounts}"
        assert cursor.last == reader.position, f"position {cursor.last}, and the last received is {reader.position}"
        assert cursor.ended == reader.ended, f"ended as {cursor.ended}"


def shown_state(state: State) -> str:
    assert state in (State.EMPTY, State.ENDED)
    return NOTHING if state is State.EMPTY else OVER


def shown(item: object) -> str:
    return f"message {item.seq}" if isinstance(item, Message) else str(item)


class LogMachine(RuleBasedStateMachine):
    """One log. ``kinds`` are the policies of its subscribers."""

    kinds: ClassVar[list[Options]] = choices.every_kind()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clocked()
        self.subscribers: list[Subscriber] = []

    @initialize(retention=choices.retentions, tuning=choices.tunings, looks=st.booleans())
    def begin(self, retention: Retention, tuning: Tuning, looks: bool) -> None:
        self.looks = looks
        self.longest = tuning.longest_run
        self.log = Log("a", "epoch", retention, 1, tuning=tuning)
        self.log.observer = self.clock
        self.shelf = Shelf(retention, "epoch")

    # -- what can happen

    @property
    def now(self) -> float:
        return self.clock.time

    @rule(before=choices.bursts, contents=choices.bursts, after=choices.bursts, seconds=choices.seconds)
    def publish_expiring(self, before: list[str], contents: list[str], after: list[str], seconds: float) -> None:
        self.publish(before, 20.0)
        self.publish(contents, 1.0)
        self.publish(after)
        self.pass_time(seconds)

    @rule(contents=choices.bursts, ttl=choices.ttls)
    def publish(self, contents: list[str], ttl: float | None = None) -> None:
        headers = None if ttl is None else {EXPIRES: f"{self.now + ttl:.6f}"}
        for content in contents:
            message = Message(content, "a", self.log.end, 1, self.now, headers, None, len(content))
            full = {c.options.overflow for c in self.log.blocking_cursors if c.is_full(message.size)}
            assert full == self.shelf.refusal(message), f"{full or 'nobody'} turns the publisher down"
            if not full:
                self.log.expect((message,))
                self.log.append(message, self.now)
                self.shelf.publish(message, self.now)

    @rule(seconds=choices.seconds)
    def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule(retention=choices.retentions)
    def retain(self, retention: Retention) -> None:
        self.shelf.expire(self.now)
        self.log.retain(retention)
        self.log.trim(self.now)
        self.shelf.retention = retention
        self.shelf.expire(self.now)

    @precondition(lambda self: len(self.subscribers) < 5)
    @rule(data=st.data(), start=st.integers(-3, 12))
    def subscribe(self, data: st.DataObject, start: int) -> None:
        options = data.draw(choices.options(self.kinds))
        self.join(options, self.start_of(start))

    def start_of(self, number: int) -> Any:
        """One of the starts; as the model wants a time, a float."""
        if number <= -2:
            return "earliest" if number == -2 else Position(2, "another epoch")
        if number <= 0:
            return "new"
        if number <= 4:
            return (1, 3, 8, 1000)[number - 1]
        if number <= 8:
            back = (1, 4, 9, -3)[number - 5]
            return Position(max(0, self.log.end - 1 - back), "epoch")
        return ((0.0, 1.0, 3.0, 60.0)[number - 9],)

    def join(self, options: Options, start: Any) -> Subscriber:
        asked = start
        if isinstance(start, tuple):
            asked = timedelta(seconds=start[0])
            if start[0] < 2:
                start = self.now - start[0]
                asked = datetime.fromtimestamp(start, UTC)
        place = find(self.log, asked, self.now)
        assert place == self.shelf.find(start, self.now), f"start={asked}"
        cursor = Cursor(self.log, options, *place)
        reader = self.shelf.subscribe(options, *place, self.longest)
        subscriber = Subscriber(len(self.subscribers), cursor, reader, self.clock)
        self.subscribers.append(subscriber)
        return subscriber

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4), way=st.sampled_from(["take", "one", "loop", "loop"]), count=st.integers(1, 9))
    def receive(self, who: int, way: str, count: int) -> None:
        subscriber = self.subscribers[who % len(self.subscribers)]
        for _ in range(count):
            if not subscriber.receive(way):
                break

    @precondition(lambda self: self.subscribers)
    @rule(
        who=st.integers(0, 4),
        before=st.integers(0, 6),
        events=st.lists(st.sampled_from([0, 0, 0, 1, 2, 7]), min_size=3, max_size=12),
        content=choices.contents,
    )
    def iterate(self, who: int, before: int, events: list[int], content: str) -> None:
        """Publish some, begin a loop, and publish in the middle of it."""
        self.publish(["a"] * before)
        for count in events:
            if count:
                self.publish([content] * count)
            else:
                self.receive(who, "loop", 1)

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4), limit=st.sampled_from([1, 2, 5, 4096]))
    def receive_many(self, who: int, limit: int) -> None:
        self.subscribers[who % len(self.subscribers)].receive_many(limit)

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4), why=st.sampled_from(["closed", "removed", "slow", "stop", "leave"]))
    def end(self, who: int, why: str) -> None:
        subscriber = self.subscribers[who % len(self.subscribers)]
        cursor, reader = subscriber.cursor, subscriber.reader
        if why == "slow":
            if cursor.options.overflow == "block":
                cursor.end("slow", slow=True)
                reader.end("slow")
        elif why == "leave":
            cursor.end("closed")
            cursor.stop()
            reader.end("closed")
            reader.stop()
            subscriber.check()
            self.subscribers.remove(subscriber)
            assert cursor not in self.log.cursors
            assert cursor not in self.log.blocking_cursors
        elif why == "stop":
            if reader.ended is not None:
                cursor.stop()
                reader.stop()
        else:
            cursor.end(why)
            reader.end(why)

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4))
    def resume(self, who: int) -> None:
        """Who begins again where another stands is given all that is kept after it and has not expired, or told first
        that it is gone.
        """
        old = self.subscribers[who % len(self.subscribers)]
        position = Position(old.cursor.last, "epoch")
        new = self.join(Options("drop_newest", report_lost=True), position)
        given: list[int] = []
        while (item := new.by_take()) is not NOTHING:
            new.expect(item)
            given += range(item.first, item.last + 1) if isinstance(item, Lost) else [item.seq]
        expired = {arrival.number for arrival in self.shelf.arrivals if arrival.expired(self.now)}
        missing = set(range(position.seq + 1, self.log.end)) - set(given)
        assert missing <= expired
        assert given == sorted(given)
        new.cursor.end("closed")
        new.reader.end("closed")
        self.subscribers.remove(new)

    # -- what always holds

    @invariant()
    def log_is_as_the_model_has_it(self) -> None:
        if not hasattr(self, "log"):
            return
        log, shelf = self.log, self.shelf
        assert log.base + len(log.messages) == log.end
        if shelf.retention.age is not None or self.looks:
            shelf.expire(self.now)
            assert log.keep(self.now) == shelf.first, f"kept from {log.first}, not from {shelf.first}"
            assert list(log.history(self.now)) == [a.message for a in shelf.kept]
            assert log.slice(log.first, log.end) == tuple(a.message for a in shelf.kept)

    @invariant()
    def accounts_are_as_the_model_has_them(self) -> None:
        # Looking makes a cursor work out what it had put off, so half of the runs look only now and then.
        if hasattr(self, "log") and self.looks:
            self.look()

    @rule()
    def look(self) -> None:
        for subscriber in self.subscribers:
            subscriber.check()

    @rule()
    def empty(self) -> None:
        """All subscribers take all they can."""
        for number, subscriber in enumerate(self.subscribers):
            while subscriber.receive(("take", "one", "loop")[number % 3]):
                pass
            subscriber.check()
