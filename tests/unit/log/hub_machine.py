"""A state machine over a hub: topics, patterns, subscriptions, with the model beside each log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import telex.topics.local
import telex.topics.publisher
import telex.topics.topic
from telex import BufferFull, Closed, Hub, Lost, Message, Position, SlowSubscriber, WouldBlock
from telex.engines.memory.engine import MemoryEngine
from telex.log.log import Retention, Tuning
from telex.log.options import Options
from tests.support.internals import log_of
from tests.unit.log import choices
from tests.unit.log.model import Reader, Shelf
from tests.unit.log.taker import Subscriber

T = TypeVar("T")
TOPICS = ("a:1", "a:2", "b:1", "a:1:x")
PATTERNS = ("a:*", "a:>", ">", "*:1")
WINDOW = 120.0
TIMED: tuple[Any, ...] = (telex.topics.local, telex.topics.publisher, telex.topics.topic)
"""The modules that read the time of day themselves, where a hub has no clock of its own."""


def covers(pattern: str, name: str) -> bool:
    """Whether all that ``name`` stands for fits ``pattern``."""
    wanted, given = pattern.split(":"), name.split(":")
    if wanted[0] == ">":
        return True
    if given[0] != wanted[0] and not (wanted[0] == "*" and given[0] != ">"):
        return False
    if len(wanted) == 1 or len(given) == 1:
        return len(wanted) == len(given)
    return covers(":".join(wanted[1:]), ":".join(given[1:]))


class HubMachine(RuleBasedStateMachine):
    """One hub. ``kinds`` are the policies of its subscribers."""

    kinds: ClassVar[list[Options]] = choices.every_kind()

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.runner = asyncio.Runner()
        self.clock = time
        self.tick = lambda: self.now
        for module in TIMED:
            module.time = self.tick
        self.shelves: dict[str, Shelf] = {}
        self.rules_: list[tuple[str, Retention]] = []
        self.ids: dict[str, dict[str, Message[Any]]] = {}
        self.subscribers: list[Subscriber] = []

    @initialize(tuning=choices.tunings, looks=st.booleans())
    def begin(self, tuning: Tuning, looks: bool) -> None:
        self.looks = looks
        self.longest = tuning.longest_run
        self.hub = Hub(MemoryEngine(tuning), clock=self.tick)
        self.run(self.hub.__aenter__())

    def teardown(self) -> None:
        try:
            self.run(self.hub.aclose())
            for subscriber in self.subscribers:
                subscriber.last.end("closed")
                self.drain(subscriber)
                subscriber.check()
                self.run(subscriber.subscription.aclose())
        finally:
            self.runner.close()
            for module in TIMED:
                module.time = self.clock

    def run(self, awaitable: Awaitable[T]) -> T:
        async def one() -> T:
            return await awaitable

        return self.runner.run(one())

    # -- topics

    def shelf(self, name: str) -> Shelf:
        """The model of a topic or pattern, which is made if it is new."""
        shelf, epoch = self.shelves.get(name), log_of(self.hub.topic(name)).epoch
        if shelf is not None and not self.used(shelf):
            # After a removal of another topic it has another epoch, unless a closed subscription has kept it.
            shelf.epoch = epoch
        if shelf is None:
            shelf = Shelf(self.retention(name), epoch)
            if name in PATTERNS:
                kept = []
                for id, other in self.shelves.items():
                    if id in TOPICS and covers(name, id):
                        other.expire(self.now)
                        kept += other.kept
                for arrival in sorted(kept, key=lambda arrival: arrival.time):
                    shelf.publish(arrival.message, arrival.time)
            self.shelves[name] = shelf
        return shelf

    def left(self, subscriber: Subscriber) -> None:
        """What nothing was published to is let go with its last subscription, and is made anew if used."""
        shelf = subscriber.last.shelf
        name = next((name for name, known in self.shelves.items() if known is shelf), None)
        if name is not None and not self.used(shelf):
            del self.shelves[name]

    def used(self, shelf: Shelf) -> bool:
        """Whether something was published or somebody reads it."""
        return bool(shelf.arrivals) or any(each.last.shelf is shelf and not each.closed for each in self.subscribers)

    def use(self, name: str) -> None:
        """Messages of one moment come to a new pattern in the order in which their topics were used first."""
        if not self.used(self.shelves[name]):
            self.shelves[name] = self.shelves.pop(name)

    def retention(self, name: str) -> Retention:
        fitting = [retention for pattern, retention in self.rules_ if covers(pattern, name)]
        return fitting[-1] if fitting else Retention()

    def fed(self, name: str) -> list[Shelf]:
        """The logs that get what is published to a topic."""
        own = self.shelf(name)
        return [own, *(shelf for id, shelf in self.shelves.items() if id in PATTERNS and covers(id, name))]

    @rule(name=st.sampled_from(TOPICS), contents=choices.bursts)
    def publish(self, name: str, contents: list[str]) -> None:
        for content in contents:
            self.publish_one(name, content, None)

    @rule(
        name=st.sampled_from(TOPICS), content=choices.contents, id=st.sampled_from("xy"), more=st.sampled_from([0, 9])
    )
    def publish_with_id(self, name: str, content: str, id: str, more: int) -> None:
        """Publish under an id, then ``more`` messages, which may make the log trim it, and then under it again."""
        self.publish_one(name, content, id)
        if more:
            self.publish(name, ["a"] * more)
            self.publish_one(name, content, id)

    @rule(contents=st.lists(choices.contents, min_size=3, max_size=5))
    def publish_in_turns(self, contents: list[str]) -> None:
        """Publish to two topics in turns, so that what they keep has to be put in order for a pattern made later."""
        for number, content in enumerate(contents):
            self.publish_one(TOPICS[number % 2], content, None)
            self.now += 0.25

    def publish_one(self, name: str, content: str, id: str | None) -> None:
        shelves, topic = self.fed(name), self.hub.topic(name)
        ids = self.ids.setdefault(name, {})
        if id in ids and ids[id].timestamp.timestamp() > self.now - WINDOW:
            assert topic.publish_nowait(content, id=id) is ids[id]
            return
        refusals = self.refusals(shelves, content)
        if refusals:
            with suppress(BufferFull if "fail" in refusals else WouldBlock):
                topic.publish_nowait(content, id=id)
                raise AssertionError("there was no room")
            return
        message = topic.publish_nowait(content, id=id)
        assert (message.content, message.topic, message.seq) == (content, name, shelves[0].end)
        if id is not None:
            ids[id] = message
        self.published(message, shelves)

    def refusals(self, shelves: list[Shelf], content: str) -> set[str]:
        trial = Message.new(content)
        return {overflow for shelf in shelves for overflow in shelf.refusal(trial)}

    def published(self, message: Message[Any], shelves: list[Shelf]) -> None:
        self.use(message.topic)
        for shelf in shelves:
            shelf.publish(message, self.now)

    @rule(name=st.sampled_from(TOPICS), content=choices.contents, takes=st.integers(1, 6))
    def publish_and_wait(self, name: str, content: str, takes: int) -> None:
        """A publisher waits for room, which subscribers make, or gives up."""
        shelves = self.fed(name)
        readers = [r for shelf in shelves for r in shelf.readers if r.options.overflow == "block" and not r.ended]
        if self.refusals(shelves, content) != {"block"} or any(
            r.options.buffer_bytes is not None and len(content) > r.options.buffer_bytes for r in readers
        ):
            return  # nobody is asked to wait, or for what will never be
        self.run(self._publish_and_wait(name, content, takes))

    async def _publish_and_wait(self, name: str, content: str, takes: int) -> None:
        shelves = self.fed(name)
        publishing = asyncio.ensure_future(self.hub.topic(name).publish(content))
        await turns()
        assert not publishing.done()
        for _ in range(takes):
            for subscriber in self.subscribers:
                if subscriber.reader.options.overflow == "block" and not subscriber.closed:
                    with suppress(WouldBlock, Closed):
                        subscriber.take_nowait()
        room = not self.refusals(shelves, content)
        await turns()
        assert publishing.done() == room
        if room:
            self.published(publishing.result(), shelves)
        else:
            publishing.cancel()
            with suppress(asyncio.CancelledError):
                await publishing

    @rule(name=st.sampled_from(TOPICS))
    def remove(self, name: str) -> None:
        old = self.shelves.get(name)
        there = old is not None and self.used(old) and bool(old.arrivals or not old.renewed)
        assert self.run(self.hub.remove(name)) == there
        if old is not None and there:
            epoch = self.run(self.hub.topic(name).position()).epoch
            if old.arrivals:
                self.shelves[name] = new = Shelf(self.retention(name), epoch, renewed=True)
                for each in self.subscribers:
                    if each.last.shelf is old and not each.closed:
                        each.removed(new)
                if not self.used(new):
                    del self.shelves[name]
            else:  # its readers miss nothing
                old.epoch, old.renewed = epoch, True
            self.ids.pop(name, None)
            # What is only looked up and then made anew begins another epoch from now on.
            for other in [id for id, shelf in self.shelves.items() if id in TOPICS and not self.used(shelf)]:
                del self.shelves[other]

    @rule(pattern=st.sampled_from([*PATTERNS, *TOPICS]), retention=choices.retentions)
    def retain(self, pattern: str, retention: Retention) -> None:
        self.hub.retain(pattern, messages=retention.messages, age=retention.age, bytes=retention.bytes)
        self.rules_.append((pattern, retention))
        for name, shelf in self.shelves.items():
            shelf.expire(self.now)
            shelf.retention = self.retention(name)
            shelf.expire(self.now)

    @rule(seconds=st.one_of(choices.seconds, st.just(130.0)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    # -- subscribers

    @precondition(lambda self: len(self.subscribers) < 5)
    @rule(data=st.data(), name=st.sampled_from([*TOPICS, *PATTERNS, *PATTERNS]), start=st.integers(-4, 12))
    def subscribe(self, data: st.DataObject, name: str, start: int) -> None:
        shelf = self.shelf(name)
        self.join(name, data.draw(choices.options(self.kinds)), *self.start_of(shelf, start))

    def start_of(self, shelf: Shelf, number: int) -> tuple[Any, Any]:
        """One of the starts, as a subscriber writes it and as the model reads it."""
        if number < 0:
            start = ("earliest", Position(2, "another epoch"), Position(0, shelf.epoch), "new")[number]
            return start, start
        if number < 4:
            return ("new", "new") if number == 0 else ((1, 8, 1000)[number - 1],) * 2
        if number < 8:
            return (Position(max(0, shelf.end - (0, 2, 5, 10)[number - 4]), shelf.epoch),) * 2
        back = (0.0, 1.0, 3.0, 60.0, 2.5)[number - 8]
        if number % 2:
            return timedelta(seconds=back), (back,)
        return datetime.fromtimestamp(self.now - back, UTC), self.now - back

    def join(self, name: str, options: Options, start: Any, modelled: Any) -> Subscriber:
        shelf = self.shelf(name)
        subscription = self.hub.topic(name).subscribe(
            start=start,
            buffer=options.buffer,
            buffer_bytes=options.buffer_bytes,
            overflow=options.overflow,
            key=options.key,
            report_lost=options.report_lost,
        )
        self.run(subscription.__aenter__())
        self.use(name)
        reader = Reader(shelf, options, *shelf.find(modelled, self.now), self.longest)
        self.subscribers.append(Subscriber(len(self.subscribers), subscription, reader))
        return self.subscribers[-1]

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4), count=st.integers(1, 9))
    def receive_nowait(self, who: int, count: int) -> None:
        subscriber = self.subscribers[who % len(self.subscribers)]
        for _ in range(count):
            try:
                subscriber.take_nowait()
            except WouldBlock:
                assert subscriber.reader.peek() is None
                assert subscriber.reader.ended is None
                break
            except (Closed, SlowSubscriber) as error:
                subscriber.expect_end(error)
                break

    @precondition(lambda self: self.subscribers)
    @rule(
        who=st.integers(0, 4),
        ways=st.lists(st.sampled_from(["receive", "many", "loop", "loop", "batches"]), min_size=1, max_size=8),
        limit=st.sampled_from([1, 2, 5, 4096]),
        publishes=st.lists(st.none() | choices.contents, min_size=8, max_size=8),
    )
    def take(self, who: int, ways: list[str], limit: int, publishes: list[str | None]) -> None:
        """Take in several ways, with publishes in between, also while it waits."""
        subscriber = self.subscribers[who % len(self.subscribers)]
        name = next((n for n, shelf in self.shelves.items() if shelf is subscriber.last.shelf), None)
        name = next((id for id in TOPICS if name is not None and covers(name, id)), None)

        if name is not None:
            self.fed(name)
        self.run(self._take(subscriber, name, limit, list(zip(ways, publishes, strict=False))))

    async def _take(
        self, subscriber: Subscriber, name: str | None, limit: int, steps: list[tuple[str, str | None]]
    ) -> None:
        for way, content in steps:
            if subscriber.closed and way in ("loop", "batches"):
                continue  # a mistake, which is told where it is made
            waits = subscriber.waits
            taking = asyncio.ensure_future(subscriber.take(way, limit))
            if waits:
                await turns()
                assert not taking.done()
                if content is not None and name is not None:
                    self.publish_one(name, content, None)
                if subscriber.waits:
                    await turns()
                    taking.cancel()
            await subscriber.compare(taking)
            if not waits and content is not None and name is not None:
                self.publish_one(name, content, None)

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4), forget=st.booleans())
    def close(self, who: int, forget: bool) -> None:
        subscriber = self.subscribers[who % len(self.subscribers)]
        self.run(subscriber.subscription.aclose())
        subscriber.closed = True
        for reader in subscriber.readers:
            reader.end("closed")
            reader.stop()
        subscriber.check()
        self.left(subscriber)
        if forget:
            self.subscribers.remove(subscriber)

    @precondition(lambda self: self.subscribers)
    @rule(who=st.integers(0, 4))
    def resume(self, who: int) -> None:
        """Who begins again where another stands is given all that is kept after it, or told first that it is gone."""
        old = self.subscribers[who % len(self.subscribers)]
        name = next((n for n, shelf in self.shelves.items() if shelf is old.reader.shelf), None)
        if name is None:
            return
        position = old.subscription.position
        new = self.join(name, Options(buffer=5, report_lost=True), position, position)
        numbers: list[int] = []
        with suppress(WouldBlock):
            while True:
                item = new.subscription.receive_nowait()
                new.expect(item)
                last = new.reader.next
                numbers += range(item.first, item.last + 1) if isinstance(item, Lost) else [last - 1]
        assert numbers == list(range(position.seq + 1, new.reader.shelf.end))
        self.subscribers.remove(new)
        self.run(new.subscription.aclose())
        new.reader.end("closed")
        self.left(new)

    def drain(self, subscriber: Subscriber) -> None:
        """Take all it has, until it waits or is over."""
        if not subscriber.closed:
            with suppress(WouldBlock):
                while True:
                    try:
                        subscriber.take_nowait()
                    except (Closed, SlowSubscriber) as error:
                        subscriber.expect_end(error)
                        break

    # -- what always holds

    @rule(name=st.sampled_from([*TOPICS, *PATTERNS]), start=st.integers(-4, 12), limit=st.none() | st.integers(0, 9))
    def history(self, name: str, start: int, limit: int | None) -> None:
        shelf = self.shelf(name)
        asked, modelled = self.start_of(shelf, start)

        async def all() -> list[Any]:
            return [item async for item in self.hub.topic(name).history(start=asked, limit=limit)]

        first, told = shelf.find(modelled, self.now)
        wanted: list[Any] = [a.message for a in shelf.arrivals[first - 1 :]]
        wanted = wanted if limit is None else wanted[:limit]
        assert self.run(all()) == ([told, *wanted] if told and isinstance(asked, Position) else wanted)

    @rule()
    def look(self) -> None:
        for subscriber in self.subscribers:
            subscriber.check()

    @invariant()
    def accounts_are_as_the_model_has_them(self) -> None:
        for name, shelf in self.shelves.items():
            if shelf.retention.age is not None or getattr(self, "looks", False):
                shelf.expire(self.now)
                statistics = self.hub.topic(name).statistics()
                numbers = (statistics.published, statistics.kept, statistics.first)
                assert numbers == (shelf.end - 1, len(shelf.kept), shelf.first)
        if getattr(self, "looks", False):
            self.look()


async def turns() -> None:
    """As many turns of the loop as anything here needs that does not wait."""
    for _ in range(6):
        await asyncio.sleep(0)
