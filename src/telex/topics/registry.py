"""`TopicRegistry`: every topic and pattern of a hub, which feeds which, and what each keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from heapq import merge
from secrets import token_hex
from threading import get_ident
from time import time
from typing import Any
from weakref import WeakValueDictionary

from telex.codec.content import STANDARD, Content, hold
from telex.engines.contract import Engine
from telex.errors import BadName, BadOption
from telex.log.log import Log, Retention, cached
from telex.message import Draft, LazyId, Message, time_of
from telex.names import Pattern, check_pattern, check_topic, is_pattern
from telex.process.supervision import is_end
from telex.topics.publisher import Publisher, serving
from telex.topics.topic import LET_GO, Topic

REMOVED = "it was removed; hub.topic(...) makes it anew"

logger: logging.Logger = logging.getLogger("telex")
STRANGE = 1000
"""So many names of types are remembered for which no class was found."""
KEPT = 1000
"""How many messages that were there before the log of a pattern may be put before its own."""


class TopicRegistry:
    """The topics of one hub, by id.

    Invariant: the log of every pattern gets each message of every topic that fits it, in the order of publishing.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time) -> None:
        self._engine = engine
        self.clock: Callable[[], float] = clock
        """Seconds since 1970."""
        self._topics: dict[str, Topic[Any]] = {}
        self._patterns: dict[str, tuple[Pattern, Topic[Any], Log]] = {}
        # Those that nobody reads and nothing was published to, as long as somebody has them in hand.
        self._released: WeakValueDictionary[str, Topic[Any]] = WeakValueDictionary()
        self._awaited: set[str] = set()  # topics that were removed and made anew for their handlers
        self._rules: list[tuple[Pattern, Retention]] = []
        self._epoch = token_hex(8)  # of topics in memory that were made since the last one was removed
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread: int = 0  # the loop's; a topic may be made in another one, to publish_threadsafe to it
        self._draining: tuple[str, object] | None = None
        self._untold: list[tuple[str, Retention]] = []  # rules that the engine does not know yet
        self.on_removed: Callable[[str], None] | None = None
        """Told of each topic that was removed, when it is."""
        self.types: dict[str, Content[Any]] = {}  # what handlers take, by name: to decode what comes from outside
        self._taken: list[type[Any]] = []  # the same, without their subclasses
        self._strange: set[str] = set()  # names of types that no handler takes

    def get(self, name: str, declared: type[Any] | None) -> Topic[Any]:
        """The topic or pattern of this name, made if it is new. Raises `BadName`, `BadOption`."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._released.get(name)
            if topic is not None and is_pattern(name):
                self.resume(name)
            elif topic is None:
                entry = self._patterns.get(name)
                topic = self._make(check_pattern(name), declared) if entry is None else entry[1]
        if declared is not None:
            topic._declare(declared)
            if name in self._released:
                self._begun(name)
        return topic

    def _find(self, name: str) -> Topic[Any] | None:
        """The topic of this name that somebody uses or has in hand."""
        return self._topics.get(name) or self._released.get(name)

    def release(self, topic: Publisher[Any]) -> None:
        """Have a topic no more, feed a pattern no more. Who has it in hand still has the same one when it is used
        again.
        """
        name = topic.id
        found = self._topics.get(name)
        if found is not None and found is topic:
            del self._topics[name]
            self._awaited.discard(name)
            self._hand_out(found)
            return
        entry = self._patterns.get(name)
        if entry is None or entry[1] is not topic:
            return
        _, pattern, log = self._patterns.pop(name)
        self._released[name] = pattern
        for each in self._every_topic():
            if log in each._feeds:
                self._link(each)

    def resume(self, pattern: str) -> None:
        """Feed a pattern again that was released."""
        topic = self._released.pop(pattern, None) if is_pattern(pattern) else None
        if topic is not None:
            self._feed_pattern(topic, Pattern(pattern))
            self._at_once(topic)

    def _hand_out(self, topic: Topic[Any]) -> None:
        """Have a topic only as long as somebody has it in hand, until it is used."""
        self._released[topic.id] = topic
        topic._owner = self
        topic._log.tell_use(self._begun)

    def _begun(self, name: str) -> None:
        """A topic that was only in somebody's hand has a message, a reader or a type now."""
        topic = self._released.pop(name, None)
        if topic is not None:
            self._topics[name] = topic

    def _every_topic(self) -> list[Topic[Any]]:
        """All topics, those that somebody only has in hand among them; not the patterns."""
        return [*self._topics.values(), *(topic for topic in self._released.values() if not is_pattern(topic.id))]

    def gather(self, patterns: Sequence[str]) -> Topic[Any]:
        """What comes to any of several topics and patterns, in one log: in the order in which the engine keeps it, the
        same in every process. To be read from now on, until `disperse`.
        """
        name = f"{' '.join(patterns)} >"  # which is no name that anybody else can give
        entry = self._patterns.get(name)
        return self._make(name, None, Pattern(*patterns)) if entry is None else entry[1]

    def disperse(self, gathered: Topic[Any]) -> None:
        """One who read it does so no more."""
        if not gathered._log.cursors and self._patterns.pop(gathered.id, None) is not None:
            for topic in self._every_topic():
                if gathered._log in topic._feeds:
                    self._link(topic)

    def _make(self, name: str, declared: type[Any] | None, several: Pattern | None = None) -> Topic[Any]:
        log = self._engine.log(name, self._retention(name))
        if self._engine.store is not None and is_pattern(name):
            log.begin(1 + (log.retention.messages or KEPT))  # below are the numbers of what was there before
        topic: Topic[Any] = Topic(name, log, self._engine, declared, self.clock)
        if is_pattern(name):
            if several is None and declared is None:
                topic._owner = self
            self._feed_pattern(topic, Pattern(name) if several is None else several)
        else:
            if self._engine.store is None:  # the same for one that is let go and made again
                log.epoch = blake2b(name.encode(), key=self._epoch.encode(), digest_size=6).hexdigest()
            if declared is None:
                self._hand_out(topic)
            else:
                self._topics[name] = topic
            self._link(topic)
        self._at_once(topic)
        return topic

    def _feed_pattern(self, topic: Topic[Any], pattern: Pattern) -> None:
        log = topic._log
        fitting = [each for each in self._every_topic() if pattern.matches(each.id)]
        if self._engine.store is None:
            # What is kept already comes first, in the order of publishing.
            kept = (each._log.history(self.clock()) for each in fitting)
            for message in merge(*kept, key=time_of):
                log.append(message, time_of(message))
        self._patterns[topic.id] = (pattern, topic, log)
        for each in fitting:
            self._link(each)

    def _at_once(self, topic: Topic[Any]) -> None:
        """Have a topic that comes now as open as the others."""
        if self._loop is not None:
            topic._open(self._loop, self.thread)
        if self._draining is not None:
            topic._drain(*self._draining)

    def _link(self, topic: Topic[Any]) -> None:
        topic._feed(tuple(log for pattern, _, log in self._patterns.values() if pattern.matches(topic.id)))

    def names(self, pattern: str) -> list[str]:
        """The ids of the topics that fit, sorted."""
        matches = Pattern(pattern).matches
        store = self._engine.store
        there = {id for id in self._topics if self._is_there(id)}
        return sorted(id for id in {*there, *(() if store is None else store.topics())} if matches(id))

    def _is_there(self, name: str) -> bool:
        """Whether there is a topic, and not only handlers that wait for it to be made anew."""
        topic = self._topics.get(name)
        return topic is not None and not (name in self._awaited and topic._log.end == topic._origin)

    def await_anew(self, name: str) -> Topic[Any]:
        """The topic that comes in the place of one that was removed, for those who wait for it."""
        self._awaited.add(name)
        return self.get(name, None)

    async def remove(self, name: str) -> bool:
        """Forget a topic and end its subscriptions, after what they have; whether there was one."""
        if isinstance(name, str) and is_pattern(name):
            raise BadName(
                name, "topics are removed one by one: for id in await hub.topics(pattern): await hub.remove(id)"
            )
        stored = self._engine.store is not None and await self._engine.store.remove(check_topic(name))
        if not self._is_there(check_topic(name)):
            if stored and name in self._released:
                self._forget(name)
            return stored
        return self._forget(name) or stored

    def publish_once(self, name: str, content: object, id: str | LazyId) -> bool:
        """Publish to a topic that is removed right after, in memory: patterns get it. False, and nothing was done, when
        the topic is there already or somebody has to be asked for room.
        """
        if self._find(name) is not None or self._loop is None:
            return False
        logs = []
        for pattern, _, log in self._patterns.values():
            if pattern.matches(name):
                if log.blocking_cursors:
                    return False
                logs.append(log)
        now = self.clock()
        message = Message(content, name, 1, id, now)
        for log in logs:
            log.append(message, now)
        return True

    def let_go(self, name: str) -> None:
        """Forget a topic here: its subscriptions end after what they have. What an engine keeps of it stays, and can be
        read by those who have the topic in their hands."""
        self._forget(name, REMOVED if self._engine.store is None else LET_GO)

    def _forget(self, name: str, state: str = REMOVED) -> bool:
        topic = self._topics.pop(name, None) or self._released.pop(name, None)
        if topic is None:
            return False
        self._epoch = token_hex(8)
        self._awaited.discard(name)
        topic._close("removed", state)
        if self.on_removed is not None and self._loop is not None:
            self.on_removed(name)
        return True

    def retain(self, pattern: str, retention: Retention) -> bool:
        """Set what the topics of a pattern keep, those that are there and those to come. Of two rules the later
        holds. Whether the engine has to be told, by `keep_rules`.
        """
        if retention == Retention(None, None, None):
            raise BadOption("retention", None, "say how much is kept: messages=, age=, bytes=, or several of them")
        self._rules.append((Pattern(pattern), retention))
        self._untold.append((pattern, retention))
        for topic in self.all():
            log, kept = topic._log, self._retention(topic.id)
            log.retain(kept if not log.remote else cached(kept))
            log.trim(self.clock())
        return self._engine.store is not None and self._loop is not None

    async def keep_rules(self) -> None:
        """Tell the engine what is kept, if it keeps anything."""
        rules, self._untold = self._untold, []
        if rules and self._engine.store is not None:
            try:
                await self._engine.store.retain(rules)
            except BaseException:
                self._untold[:0] = rules
                raise

    def _retention(self, name: str) -> Retention:
        for pattern, retention in reversed(self._rules):
            if pattern.matches(name):
                return retention
        return Retention()

    def know(self, cls: type[Any]) -> None:
        """A handler takes this type: what comes from outside under its name is made one."""
        known = self.types.get(cls.__name__)
        if known is None:
            self.types[cls.__name__] = Content(cls)
            self._taken.append(cls)
            self._strange.clear()
        elif known.declared is not cls:
            text = "handlers take two types named %s: what comes from outside of this process is made the first of them"
            logger.warning(text, cls.__name__)

    # -- what the engine tells; see `telex.engines.Feed`

    def wants(self, topic: str) -> bool:
        """Whether a local log takes the messages of ``topic``."""
        return self._find(topic) is not None or any(pattern.matches(topic) for pattern, _, _ in self._patterns.values())

    def content(self, data: object, topic: str, type: str | None) -> object:
        """Plain data from outside as this program has it: as the topic's declared type, else as the one that a handler
        takes and that has this name, else as the standard class of this name. What does not fit stays plain.
        """
        found = self._topics.get(topic)
        content = None if found is None else found._content
        if content is None and type is not None:
            content = self._type(type)
        if content is None:
            return data
        try:
            return content.decode(data, topic, type)
        except BaseException as error:  # ContentError, or what the type itself raises: then it does not fit
            if is_end(error) or isinstance(error, MemoryError):
                raise
            return data

    def shapes(self, topic: str, types: Iterable[str]) -> bool:
        """Whether there is a type to make of such content."""
        found = self._topics.get(topic)
        return (found is not None and found._content is not None) or any(self._type(type) for type in types)

    def hold(self, content: object, topic: str, type: str) -> None:
        """See that content comes back equal from where it is stored with ``type``. Raises `ContentError`."""
        found = self._topics.get(topic)
        if found is None or found._content is None:
            hold(content, topic)
        else:
            held = found._content.check(content, topic, type)
            found._content.hold(held, topic, type)

    def _type(self, name: str) -> Content[Any] | None:
        """The type of this name: one of Python's own, one that a handler takes, or a subclass of that."""
        if name in self.types or name in self._strange or name in STANDARD:
            return self.types.get(name) or STANDARD.get(name)
        cls = next((found for known in self._taken if (found := _subclass(known, name)) is not None), None)
        if cls is not None:
            self.types[name] = Content(cls)
        elif len(self._strange) < STRANGE:
            self._strange.add(name)
        return self.types.get(name)

    def take(self, messages: Sequence[Message[Any]]) -> None:
        """Append what the engine keeps now to the local logs."""
        if not messages:
            return
        first = messages[0]
        topic = self._topics.get(first.topic)
        if (
            topic is not None
            and first.seq == topic._log.end
            and all(message.topic == first.topic for message in messages)
            and messages[-1].seq - first.seq == len(messages) - 1
            and topic._arrive_together(messages)
        ):
            return
        for message in messages:
            topic = self._find(message.topic)
            if topic is None:
                if not self.wants(message.topic):
                    continue
                topic = self._make(message.topic, None)
                topic._log.begin(message.seq)
            missing = message.seq - topic._log.end
            if missing >= 0:
                self._arrive(topic, message, missing)

    def _arrive(self, topic: Topic[Any], message: Message[Any], missing: int) -> None:
        try:
            topic._arrive(message, missing)
        except Exception as error:
            if isinstance(error, MemoryError) or topic._log.end > message.seq:
                raise
            # Its content did something that no content may do, such as raise when it is measured: the others go on.
            logger.error("message %d of %s cannot be delivered, and is skipped", message.seq, topic.id, exc_info=error)
            topic._arrive_unreadable(message.seq - topic._log.end)

    def unreadable(self, topic: str, seq: int, problem: str) -> None:
        """Readers get a `Lost` in the place of a message that is kept and cannot be decoded."""
        text = "message %d of %s cannot be read, and is skipped: %s (`telex check` lists all damage of the file)"
        logger.error(text, seq, topic, problem)
        found = self._find(topic)
        if found is None:
            found = self._make(topic, None)
            found._log.begin(seq)
        found._arrive_unreadable(max(0, seq - found._log.end))

    def publish(self, draft: Draft) -> Message[Any]:
        """A delayed message is due, on an engine without a store."""
        return self.get(draft.topic, None)._arrive_due(draft)

    def removed(self, topic: str) -> None:
        """Another process removed the topic."""
        self._forget(topic)

    def stirred(self, topic: str | None = None) -> None:
        """Groups that take from ``topic`` may have something to claim: their members wait at the log."""
        logs = [log for pattern, _, log in self._patterns.values() if topic is None or pattern.matches(topic)]
        if topic is None:
            logs += [each._log for each in self._every_topic()]
        else:
            entry, found = self._patterns.get(topic), self._find(topic)
            logs += ([] if entry is None else [entry[2]]) + ([] if found is None else [found._log])
        for log in logs:
            if log.observer.waiters:
                log.observer.notify()

    def failed(self, error: Exception) -> None:
        """The engine can go on no more."""
        logger.critical("the engine has failed, and its hub with it: %s", error)
        self.close(f"its engine has failed: {error}")

    # -- life

    def all(self) -> list[Topic[Any]]:
        """Topics and patterns."""
        return [*self._topics.values(), *(topic for _, topic, _ in self._patterns.values()), *self._released.values()]

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, publishing and subscribing work, in ``loop``."""
        self._loop, self.thread = loop, get_ident()
        store = self._engine.store
        for topic in self.all():
            if store is not None and not is_pattern(topic.id) and topic._log.end == topic._origin:
                store.head(topic._log)
                topic._origin = topic._log.end
            topic._open(loop, self.thread)

    def drain(self, state: str, served: object) -> None:
        """From now on only handlers work here, those for whom `telex.topics.topic.serving` is ``served``."""
        self._draining = (state, served)
        for topic in self.all():
            topic._drain(state, served)

    def is_here(self) -> bool:
        """Whether this is called in the event loop in which the hub was opened."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @property
    def ended(self) -> bool:
        """Whether they are closed, or their engine has failed."""
        return self._loop is None

    @property
    def drains(self) -> bool:
        """Whether the hub closes and a handler asks, which may use it until it has finished."""
        return self._draining is not None and serving.get() is self._draining[1]

    def close(self, state: str) -> None:
        """Everything ends: subscriptions after what they have, waiting publishers with `Closed`."""
        self._loop = self._draining = None
        for topic in self.all():
            topic._close("closed", state)


def _subclass(cls: type[Any], name: str) -> type[Any] | None:
    """The subclass of this name that was defined last."""
    if cls in (object, type):
        return None  # of which all are subclasses
    for each in reversed(cls.__subclasses__()):
        found = each if each.__name__ == name else _subclass(each, name)
        if found is not None:
            return found
    return None
