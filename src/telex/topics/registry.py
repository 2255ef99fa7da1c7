"""`TopicRegistry`: the topics and patterns of a hub, the feeding of patterns, and retention."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from heapq import merge
from itertools import groupby
from operator import attrgetter
from secrets import randbits, token_hex
from threading import get_ident
from time import time
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from telex.codec.encoded import Encoded
from telex.engines.contract import Engine
from telex.errors import BadName, BadOption
from telex.log.log import Log, Retention
from telex.message import Draft, LazyId, Message, Reason, time_of
from telex.names import CONNECTION, Pattern, check_pattern, check_published, check_topic, is_pattern
from telex.observe.headers import Carrier
from telex.topics.connection import KEPT_CHANGES, ConnectionChange, EngineConnection
from telex.topics.delayed import DelayedMessages
from telex.topics.formats import TopicFormats
from telex.topics.local import LocalPublisher, NoStore
from telex.topics.publisher import Publisher, serving
from telex.topics.stored import EnginePublisher, Follows
from telex.topics.topic import Topic, publisher_of, topic_of
from telex.topics.types import ContentTypes

logger: logging.Logger = logging.getLogger("telex")
_topic: Callable[[Message[Any]], str] = attrgetter("topic")


class Fed(NamedTuple):
    """A pattern and its `Publisher`."""

    pattern: Pattern
    publisher: Publisher


class TopicRegistry:
    """The topics of one hub, by id.

    Invariant: the log of every pattern gets each message of every topic that matches, in the order of publishing.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time, address: str = "the engine") -> None:
        self._engine = engine
        self._store = engine.store or NoStore()
        self._follows = Follows(self._store)
        self._epoch = token_hex(8)  # of topics in memory that were made since the last removal
        self.clock: Callable[[], float] = clock
        """The clock, in seconds since 1970."""
        self._topics: dict[str, Publisher] = {}
        self.patterns: dict[str, Fed] = {}
        # Topics and patterns without readers and messages, while a program or a subscription refers to them.
        self._released: WeakValueDictionary[str, Publisher] = WeakValueDictionary()
        self._rules: list[tuple[Pattern, Retention]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread: int = 0  # of the loop; a topic may be made in another thread, to call publish_threadsafe
        self._draining: tuple[str, object] | None = None
        self._closed: str = ""  # the reason, once all topics are closed
        self.pending_rules: list[tuple[str, Retention]] = []  # rules that the engine does not have yet
        self.types: ContentTypes = ContentTypes()
        self.formats: TopicFormats = TopicFormats()
        self.connection: EngineConnection = EngineConnection(self._publish_change, address, clock)
        """The connection to the engine."""
        self.carrier: Carrier = Carrier(self._refresh)
        """The switch of headers that go from a handled message into the messages of its handler."""
        self._delayed = DelayedMessages(self.publish_due, clock)
        log = Log(CONNECTION, token_hex(6), Retention(KEPT_CHANGES), randbits(74))
        self._topics[CONNECTION] = self._local(CONNECTION, log, None)

    def _refresh(self) -> None:
        for publisher in self._all():
            publisher.refresh()

    def _local(self, name: str, log: Log, declared: type[Any] | None) -> LocalPublisher:
        rest = (self.connection, self.carrier, self._delayed)
        return LocalPublisher(name, log, self._engine, declared, self.clock, *rest)

    def _publish_change(self, change: ConnectionChange, now: float) -> None:
        own = self._topics[CONNECTION]
        own.deliver_one(Message(change, CONNECTION, own.log.end, own.log.uid, now))

    def get(self, name: str, declared: type[Any] | None) -> Topic[Any]:
        """Return the topic or pattern of this name; create it if it is new. Raises `BadName`, `BadOption`."""
        try:
            publisher = self._topics.get(name) or self._of(name, declared)
        except TypeError:
            publisher = self._of(check_pattern(name), declared)  # a list cannot be a key of a dict
        publisher.begin_again()
        if declared is not None:
            publisher.declare(declared)
            if name in self._released:
                self._begun(name)
        return topic_of(publisher)

    def set_format(self, name: str, content_type: str | None, content_encoding: str | None) -> None:
        """Set the codec and the transforms of a topic. Raises `BadOption`, see `TopicFormats.declare`."""
        publisher = publisher_of(self.get(name, None))
        publisher.format = self.formats.declare(name, content_type, content_encoding)
        publisher.refresh()

    def _of(self, name: str, declared: type[Any] | None = None) -> Publisher:
        found = self._find(name)
        if found is None:
            fed = self.patterns.get(name)
            return self._make(check_pattern(name), declared) if fed is None else fed.publisher
        if is_pattern(name):
            self.resume(name)
        return found

    def _find(self, name: str) -> Publisher | None:
        return self._topics.get(name) or (self._released.get(name) if self._released else None)

    def release(self, publisher: Publisher) -> None:
        """Forget a topic without readers, or stop feeding a pattern. A program that uses it again gets the same
        object.
        """
        name = publisher.id
        if self._topics.get(name) is publisher:
            del self._topics[name]
            self._hand_out(publisher)
            return
        fed = self.patterns.get(name)
        if fed is not None and fed.publisher is publisher:
            self._unfeed(name)
            self._released[name] = publisher

    def resume(self, pattern: str) -> None:
        """Feed a released pattern again."""
        publisher = self._released.pop(pattern, None) if is_pattern(pattern) else None
        if publisher is not None:
            self._feed_pattern(publisher, Pattern(pattern))
            self._at_once(publisher)

    def _hand_out(self, publisher: Publisher) -> None:
        """Keep a topic only while the program refers to it, until it is used."""
        self._released[publisher.id] = publisher
        publisher.owner, publisher.renewed = self, False
        publisher.log.tell_use(self._begun)

    def _begun(self, name: str) -> None:
        """Keep a released topic that now has a message, a reader or a type."""
        publisher = self._released.pop(name, None)
        if publisher is not None:
            self._topics[name] = publisher

    def _every_topic(self) -> list[Publisher]:
        """Return all topics without the patterns, also released ones."""
        return [*self._topics.values(), *(each for each in self._released.values() if not is_pattern(each.id))]

    def gather(self, patterns: Sequence[str]) -> Topic[Any]:
        """Return one log of several topics and patterns, in the order of the engine, which is the same in every
        process. It can be read until `disperse`.
        """
        name = f"{' '.join(patterns)} >"  # no program can use this name
        fed = self.patterns.get(name)
        return topic_of(self._make(name, None, Pattern(*patterns)) if fed is None else fed.publisher)

    def disperse(self, gathered: Topic[Any]) -> None:
        """Forget a gathered log without readers."""
        if not publisher_of(gathered).log.cursors and gathered.id in self.patterns:
            self._unfeed(gathered.id)

    def _unfeed(self, name: str) -> None:
        log = self.patterns.pop(name).publisher.log
        for each in self._every_topic():
            if log in each.feeds:
                self._link(each)

    def _make(self, name: str, declared: type[Any] | None, several: Pattern | None = None) -> Publisher:
        publisher = self._publisher(name, declared)
        if is_pattern(name):
            if several is None and declared is None:
                publisher.owner = self
            self._feed_pattern(publisher, Pattern(name) if several is None else several)
        else:
            if declared is None:
                self._hand_out(publisher)
            else:
                self._topics[name] = publisher
            self._link(publisher)
        self._at_once(publisher)
        return publisher

    def _publisher(self, name: str, declared: type[Any] | None) -> Publisher:
        engine, log = self._engine, self._log(name)
        made: Publisher
        if engine.store is not None:
            made = EnginePublisher(
                *(name, log, engine, engine.store, self._follows, declared),
                *(self.clock, self.connection, self.carrier),
            )
        else:
            made = self._local(name, log, declared)
        made.format = self.formats.of(name)
        return made

    def _log(self, name: str) -> Log:
        log = self._engine.log(name, self._retention(name))
        if isinstance(self._store, NoStore) and not is_pattern(name):  # the same epoch for a topic that is made again
            log.epoch = blake2b(name.encode(), key=self._epoch.encode(), digest_size=6).hexdigest()
        return log

    def _feed_pattern(self, publisher: Publisher, pattern: Pattern) -> None:
        matching = [each for each in self._every_topic() if pattern.matches(each.id)]
        kept = list(merge(*(each.backlog() for each in matching), key=time_of))
        publisher.log.extend(kept, self.clock())
        self.patterns[publisher.id] = Fed(pattern, publisher)
        for each in matching:
            self._link(each)

    def _at_once(self, publisher: Publisher) -> None:
        """Give a new topic the state of the others."""
        if self._closed:
            publisher.close(self._closed)
        elif self._loop is not None:
            publisher.open(self._loop, self.thread)
        if self._draining is not None:
            publisher.drain(*self._draining)

    def _link(self, publisher: Publisher) -> None:
        publisher.feed(tuple(fed.publisher.log for fed in self.patterns.values() if fed.pattern.matches(publisher.id)))

    async def names(self, pattern: str) -> list[str]:
        """Return the ids of the matching topics, sorted."""
        matches = Pattern(pattern).matches
        stored = await self._store.topics()
        there = {id for id in self._topics if self._is_there(id)}
        return sorted(id for id in {*there, *stored} if matches(id))

    def count(self) -> int:
        """Return the number of topics that this process knows, without asking the engine."""
        matches = Pattern(">").matches  # not telex's own
        released = sum(each.end > 1 for each in self._released.values() if matches(each.id) and not is_pattern(each.id))
        return released + sum(matches(id) and self._is_there(id) for id in self._topics)

    def _is_there(self, name: str) -> bool:
        """Return true when there is a topic, and not only readers that wait for the next message of a removed one."""
        publisher = self._topics.get(name)
        return publisher is not None and not (publisher.renewed and publisher.log.end == publisher.origin)

    async def remove(self, name: str) -> bool:
        """Remove the messages of a topic, which continues in another epoch. Return false when there was no such
        topic.
        """
        if name == CONNECTION:
            raise BadName(name, "this topic belongs to telex, and cannot be removed")
        if isinstance(name, str) and is_pattern(name):
            raise BadName(
                name,
                "give one topic id; for a pattern: for id in await hub.topics(pattern): await hub.remove(id)",
            )
        stored = await self._store.remove(check_topic(name))
        found = self._find(name)
        if found is not None and (found.log.end == 1 if stored else self._is_there(name)):
            self._renew(found)  # with stored messages the engine has called it
            return True
        return stored

    def publish_once(self, name: str, content: object, id: str | LazyId) -> bool:
        """Publish to a topic and remove it at once, in memory, so that patterns get the message. Return false, without
        publishing, when the topic exists or a subscriber has to be asked for room.
        """
        if self._loop is None or name in self._topics or (self._released and name in self._released):
            return False
        logs = []
        for fed in self.patterns.values():
            if fed.pattern.matches(name):
                if fed.publisher.log.blocking_cursors:
                    return False
                logs.append(fed.publisher.log)
        now = self.clock()
        message = Message(content, name, 1, id, now)
        for log in logs:
            log.append(message, now)
        return True

    def let_go(self, name: str) -> None:
        """End the subscriptions to a topic after their waiting messages; those of the hub itself continue. Programs can
        still read stored messages of the topic.
        """
        publisher = self._find(name)
        if publisher is not None:
            publisher.finish()
            if not publisher.log.cursors:
                self._renew(publisher)

    def _renew(self, publisher: Publisher) -> None:
        """Continue a topic with an empty log."""
        name = publisher.id
        if publisher.log.end > 1:
            self._epoch = token_hex(8)
            publisher.renew(self._log(name))
        else:  # its readers miss nothing
            publisher.take_epoch(self._log(name))
        publisher.owner, publisher.renewed = self, True
        if not publisher.log.cursors:
            self._topics.pop(name, None)
            self._hand_out(publisher)

    def retain(self, pattern: str, retention: Retention) -> bool:
        """Set the retention of the topics of a pattern, existing and future ones. Of two rules the later applies.
        Return true when `keep_rules` has to be called for the engine.
        """
        if retention == Retention(None, None, None):
            raise BadOption("retention", None, "give messages=, age=, bytes=, or several of them")
        self._rules.append((Pattern(pattern), retention))
        self.pending_rules.append((pattern, retention))
        for publisher in self._all():
            publisher.retain(self._retention(publisher.id))
        return self._store is self._engine.store and self._loop is not None

    async def keep_rules(self) -> None:
        """Send the rules of `retain` to the engine."""
        rules, self.pending_rules = self.pending_rules, []
        try:
            if rules:
                await self._store.retain(rules)
        except BaseException:
            self.pending_rules[:0] = rules
            raise

    def _retention(self, name: str) -> Retention:
        for pattern, retention in reversed(self._rules):
            if pattern.matches(name):
                return retention
        return Retention()

    def draft_of(self, message: Message[Any]) -> Draft:
        """Return the draft of a message of another system. Raises `ContentError`."""
        found = self._topics.get(check_published(message.topic))
        return self.formats.draft_of(message, None if found is None else found.content)

    # -- the calls of an engine, see `telex.engines.Decoder` and `telex.engines.EngineEvents`

    def decode(self, data: object, topic: str, type: str | None) -> object:
        """Return plain data as the topic's declared type, else as the type named ``type``. Raises `ContentError` for
        `Encoded` data that cannot be decoded here.
        """
        found = self._topics.get(topic)
        declared = None if found is None else found.content
        if isinstance(data, Encoded):
            data = self.formats.decode(data, topic, self.types.declared(declared, type))
        return data if isinstance(data, Encoded) else self.types.decode(declared, data, topic, type)

    def decodes(self, topic: str, types: Iterable[str]) -> bool:
        """Return true when `decode` may convert such data."""
        found = self._topics.get(topic)
        return (found is not None and found.content is not None) or self.types.decodes(types)

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Append messages that the engine has stored to the local logs."""
        for topic, run in groupby(messages, _topic):
            publisher = self._receiving(topic)
            if publisher is not None:
                publisher.deliver(list(run))

    def gap(self, topic: str, count: int | None, reason: Reason) -> None:
        """Give readers a `Lost` in the place of messages that are not delivered, or continue in another epoch."""
        publisher = self._find(topic) if reason == "epoch" else self._receiving(topic)
        if publisher is not None and reason == "epoch":
            self._renew(publisher)
        elif publisher is not None:
            publisher.skip(1 if count is None else count, reason)

    def _receiving(self, topic: str) -> Publisher | None:
        """Return the topic whose log takes a message; create it when a pattern matches. None when no log takes it."""
        publisher = self._find(topic)
        if publisher is None and any(fed.pattern.matches(topic) for fed in self.patterns.values()):
            publisher = self._make(topic, None)
        return publisher

    def publish_due(self, draft: Draft) -> Message[Any]:
        """Publish a delayed message that is due, or a message of a transaction that commits, on an engine without a
        store. The number of the returned message is 0 when nothing was published.
        """
        publisher = self._of(draft.topic)
        publisher.begin_again()
        if not isinstance(publisher, LocalPublisher):
            raise AssertionError("an engine with a store publishes these messages itself")
        return publisher.publish_due(draft)

    def disconnected(self, problem: str) -> None:
        """Note that the engine does not reach its server."""
        self.connection.lost(problem)

    def connected(self) -> None:
        """Note that the engine reaches its server again."""
        self.connection.restored()

    def failed(self, error: Exception) -> None:
        """Close all topics: the engine cannot continue."""
        logger.critical("the engine has failed, and its hub with it: %s", error)
        self.close(f"its engine has failed: {error}")

    # -- life

    def _all(self) -> list[Publisher]:
        return [*self._topics.values(), *(fed.publisher for fed in self.patterns.values()), *self._released.values()]

    def all(self) -> list[Topic[Any]]:
        """Return all topics and patterns of the program."""
        return [topic_of(publisher) for publisher in self._all() if publisher.id != CONNECTION]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let all topics take messages and readers, in ``loop``."""
        self._loop, self.thread = loop, get_ident()
        self.connection.opened()
        for publisher in self._all():
            publisher.begin()
            publisher.open(loop, self.thread)

    def drain(self, reason: str, served: object) -> None:
        """Refuse all callers but handlers, for whom `telex.topics.publisher.serving` is ``served``."""
        self._draining = (reason, served)
        for publisher in self._all():
            publisher.drain(reason, served)

    def is_here(self) -> bool:
        """Return true in the event loop in which the hub was opened."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @property
    def ended(self) -> bool:
        """True when the topics are closed, or their engine has failed."""
        return self._loop is None

    @property
    def drains(self) -> bool:
        """True while the hub drains and the caller is a handler, which may use the hub until it has finished."""
        return self._draining is not None and serving.get() is self._draining[1]

    def close(self, reason: str) -> None:
        """End subscriptions after their waiting messages, and raise `Closed` in waiting publishers."""
        self._loop = self._draining = None
        self._closed = reason
        self._delayed.close()
        self.connection.ended(reason)
        for publisher in self._all():
            publisher.close(reason)
