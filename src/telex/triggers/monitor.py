"""`ConditionMonitor`: passes the messages, changes of variables and the time of one hub to a `ConditionEvaluator`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from telex.errors import Closed, ContentError, SlowSubscriber, WouldBlock
from telex.message import Lost, Message, Position, time_of
from telex.names import Pattern, is_pattern
from telex.topics.subscription import ReportingSubscription, enter, leave
from telex.triggers.conditions.condition import Condition, Source
from telex.triggers.conditions.evaluator import ConditionEvaluator, Fired

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.topics.topic import Topic
    from telex.triggers.values import VariableValue

logger: logging.Logger = logging.getLogger("telex.triggers")
MAX_WAITING_MESSAGES = 1_000_000
"""The number of messages that may wait for a condition; more are counted as lost."""
MAX_STORED_MESSAGES = 100_000
"""The number of stored messages that are read at the start: the last ones of all topics together."""


class Owner(Protocol):
    """The trigger of a condition."""

    name: str
    failed: int

    def tell(self, fired: Sequence[Fired]) -> None:
        """Fire: the condition became true at these instants."""

    def alarm(self, at: float) -> None:
        """Have the monitor called at ``at``."""


class ConditionMonitor:
    """A running condition of a hub. Exceptions of the condition are logged and counted, and the evaluation
    continues.
    """

    is_polled: bool = False

    def __init__(
        self, condition: Condition, runtime: Runtime, variables: Sequence[VariableValue[Any]], keys: int
    ) -> None:
        self.condition = condition
        self.lost: int = 0
        self._runtime = runtime
        self._variables = variables
        self._keys = keys
        self.evaluator: ConditionEvaluator = ConditionEvaluator(condition, 0.0, {}, keys)
        self._alarm: float | None = None
        self._patterns: list[str] = []  # of all sources, and of all variables whose changes arrive as messages
        self.routes: list[tuple[Pattern, Source]] = []
        self._heard: dict[str, VariableValue[Any]] = {}  # these variables, by topic
        self._topic: Topic[Any] | None = None
        self._inbox: ReportingSubscription[Any] | None = None
        self._seen: dict[str, set[str]] = {}  # by topic, the ids of the stored messages that were read at the start
        self._owner: Owner | None = None
        self._closed = False
        self.known: float = 0.0
        """The time from which on all messages are available, on a shared engine."""

    def describe(self) -> str:
        """Return the condition as text for people."""
        return f"when {self.condition!r}"

    @property
    def forgotten(self) -> int:
        """The number of keys that were forgotten to make room."""
        return self.evaluator.forgotten

    # -- life

    def begin(self, owner: Owner, start: float) -> None:
        """Start evaluating from now on, on the memory engine."""
        self._owner = owner
        for variable in self._variables:
            variable.listeners.append(self._change)
        self.evaluator = ConditionEvaluator(
            self.condition, start, {each.name: each.value for each in self._variables}, self._keys
        )
        self._begin_reading()

    def look(self) -> None:
        """Fire if the condition is true at the start."""
        self._act(lambda each: each.look(each.now))
        self._set_alarm()

    async def resume(self, owner: Owner, start: float, *, fresh: bool) -> None:
        """Evaluate the stored messages and then the new ones, in the order of the engine. So every process that reads
        the same messages finds the same instants. ``start`` is the time when the trigger was first declared; messages
        before it set the state and fire nothing. A ``fresh`` trigger whose condition is true at ``start`` fires at
        once.
        """
        self._owner = owner
        self._heard = {variable.name: variable for variable in self._variables}
        self._leave()  # an earlier try may have failed halfway
        self._begin_reading()
        # The values are read first: later changes are read below, or arrive as messages.
        values = {each.name: await each.stored() for each in self._variables}
        found = await self._kept()
        self._seen = {topic: set() for topic in {message.topic for message in found}}
        for message in found:
            self._seen[message.topic].add(message.id)
        begins = {message.topic: number for number, message in reversed(list(enumerate(found)))}
        cut = await self._first_complete(found, begins.values())
        self.known = start if cut is None else time_of(found[cut])
        if cut is not None and self.known > start:
            # Retention has deleted messages before this time, so the state before it is unknown.
            start, fresh, found = self.known, False, found[cut:]
        for variable in self._variables:
            first = next((message for message in found if message.topic == variable.name), None)
            if first is not None:
                values[variable.name] = self._before(variable, first)
        begin = min((time_of(found[0]) if found else start), start)
        self.evaluator = ConditionEvaluator(self.condition, begin, values, self._keys)
        self._act(lambda each: each.look(begin))
        for message in found:
            if fresh and time_of(message) > start:
                self._look(start)
                fresh = False
            self._feed((message,))
        if fresh:
            self._look(start)

    async def _kept(self) -> list[Message[Any]]:
        """Return the stored messages, in the order of the engine."""
        store = self._runtime.store("triggers")
        if not self._patterns or (len(self._patterns) == 1 and not is_pattern(self._patterns[0])):
            return [message for pattern in self._patterns async for message in self._runtime.topic(pattern).history()]
        return list(await store.read_pattern(self._patterns, MAX_STORED_MESSAGES))

    async def _first_complete(self, found: Sequence[Message[Any]], begins: Iterable[int]) -> int | None:
        """Return the index in ``found`` from which on all messages are there. ``begins`` are the indexes of the first
        message of each topic. None: all topics are complete.
        """
        store = self._runtime.store("triggers")
        for index in sorted(begins, reverse=True):
            first = found[index]
            if first.seq > 1:  # no message can come before number 1
                end = await self._runtime.topic(first.topic).position()
                _, lost, _ = await store.find(first.topic, Position(0, end.epoch), self._runtime.clock())
                if lost is not None and lost.count:
                    return index
        return None

    def _look(self, start: float) -> None:
        """Fire if the condition is true at ``start``."""
        self._act(lambda each: each.look(start))
        if self.evaluator.holds and self._owner is not None:
            self._owner.tell([Fired(start, value=self.evaluator.value)])

    def _before(self, variable: VariableValue[Any], message: Message[Any]) -> Any:
        try:
            return variable.read(message.content).before
        except ContentError:
            return variable.initial

    def _begin_reading(self) -> None:
        """Subscribe to all topics by one log, which has the order of the engine."""
        # Sources of one pattern keep the order of the condition, which is the same in every process.
        sources = sorted(_sources(self.condition), key=lambda source: source.pattern)
        self.routes = [(Pattern(source.pattern), source) for source in sources]
        self._patterns = sorted({*(source.pattern for source in sources), *self._heard})
        if self._patterns:
            several, runtime = len(self._patterns) > 1, self._runtime
            self._topic = runtime.topics.gather(self._patterns) if several else runtime.topic(self._patterns[0])
            self._inbox = self._topic.subscribe(buffer=MAX_WAITING_MESSAGES, report_lost=True)
            enter(self._inbox, lasting=True)

    def readers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions to run in the background."""
        return [] if self._inbox is None else [self._read]

    async def _read(self) -> None:
        if self._inbox is not None:
            async for batch in self._inbox.batches():
                self.take(batch)
                self._set_alarm()

    def close(self) -> None:
        """Stop evaluating. May be called before the start."""
        self._closed = True
        for variable in self._variables:
            if self._change in variable.listeners:
                variable.listeners.remove(self._change)
        self._leave()

    def _leave(self) -> None:
        if self._inbox is not None and self._topic is not None:
            leave(self._inbox)
            self._inbox = None
            if len(self._patterns) > 1:
                self._runtime.topics.disperse(self._topic)

    # -- events

    def due(self, now: float) -> None:
        """Evaluate the condition at ``now``."""
        self._alarm = None
        self.drain()
        # Not at `now`: an instant must not depend on when this process was called.
        while (at := self.evaluator.next) is not None and at <= now:
            self._act(partial(ConditionEvaluator.advance, now=at))
        self._set_alarm()

    def catch_up(self, now: float) -> None:
        """Evaluate the condition at ``now``, at the end of a pause."""
        self.due(now)

    def rearm(self, now: float) -> None:
        """Ask the owner to call `due` again, after a pause."""
        self._alarm = None
        self._set_alarm()

    def _change(self, variable: str, value: Any, now: float) -> None:
        self.drain()  # messages from before the change count first
        self._act(lambda each: each.change(variable, value, now))
        self._set_alarm()

    def drain(self) -> None:
        while self._inbox is not None:
            try:
                self.take(self._inbox.receive_many_nowait())
            except (WouldBlock, Closed, SlowSubscriber):
                return

    def take(self, batch: Sequence[Message[Any] | Lost]) -> None:
        first = batch[0]
        if isinstance(first, Lost):
            if not first.count:
                return  # a topic was removed
            self.lost += first.count
            where = ", ".join(self._patterns)
            logger.warning("the condition %r missed %d messages of %s", self.condition, first.count, where)
            return
        messages: Any = batch  # a batch with a Lost has no other items
        if self._seen:
            messages = [message for message in messages if self._is_new(message)]
        if not messages:
            return
        if len(self.routes) == 1 == len(self._patterns) and not self._heard:
            self._hear(self.routes[0][1], messages)
            return
        for _, run in groupby(messages, key=attrgetter("topic")):
            self._feed(tuple(run))

    def _is_new(self, message: Message[Any]) -> bool:
        """Return true when the message was not read at the start."""
        seen = self._seen.get(message.topic)
        if seen is None:
            return True
        if message.id in seen:
            return False
        del self._seen[message.topic]  # all later messages are new, also those of a recreated topic
        return True

    def _feed(self, messages: Sequence[Message[Any]]) -> None:
        """Evaluate messages of one topic: each message for all sources before the next message."""
        topic = messages[0].topic
        sources = [source for pattern, source in self.routes if pattern.matches(topic)]
        variable = self._heard.get(topic)
        if variable is None and len(sources) == 1:
            self._hear(sources[0], messages)
            return
        for message in messages:
            if variable is not None:
                self._hear_change(variable, message)
            for source in sources:
                self._hear(source, (message,))

    def _hear_change(self, variable: VariableValue[Any], message: Message[Any]) -> None:
        try:
            value = variable.read(message.content).value
        except ContentError:
            return  # `EngineValue.follow` logs it
        self._act(lambda each: each.change(variable.name, value, time_of(message)))

    def _hear(self, source: Source, messages: Sequence[Message[Any]]) -> None:
        evaluator = self.evaluator
        failed = evaluator.failed
        self._act(lambda each: each.feed(source, messages))
        if evaluator.failed != failed and self._owner is not None:
            self._owner.failed += evaluator.failed - failed
            where = (self.condition, evaluator.failed - failed, source.pattern)
            logger.error("by= of %r raised for %d messages of %s", *where, exc_info=evaluator.error)

    def _act(self, act: Callable[[ConditionEvaluator], list[Fired]]) -> None:
        owner = self._owner
        if owner is None:
            raise AssertionError("events come after `begin`")
        try:
            fired = act(self.evaluator)
        except Exception as error:  # a comparison of the program may raise anything
            owner.failed += 1
            logger.error("trigger %s: its condition %r raised", owner.name, self.condition, exc_info=error)
            return
        if fired:
            owner.tell(fired)

    def _set_alarm(self) -> None:
        at = self.evaluator.next
        if at is not None and (self._alarm is None or at < self._alarm) and self._owner is not None:
            self._alarm = at
            self._owner.alarm(at)


def _sources(condition: Condition) -> dict[Source, None]:
    """Return the sources of a condition in its own order, without duplicates."""
    found: dict[Source, None] = {}
    for part in condition.parts:
        found |= _sources(part)
    return found or dict.fromkeys(condition.sources)  # a condition without parts has at most one
