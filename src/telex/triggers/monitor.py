"""`ConditionMonitor`: tells a `ConditionEvaluator` what happens: the messages, the changes and the time of one hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol

from telex.errors import Closed, ContentError, SlowSubscriber, WouldBlock
from telex.message import Lost, Message, time_of
from telex.names import Pattern, is_pattern
from telex.topics.subscription import ReportingSubscription, enter, leave
from telex.triggers.conditions.condition import Condition, Source
from telex.triggers.conditions.evaluator import ConditionEvaluator, Fired

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.topics.topic import Topic
    from telex.triggers.variable import Variable

logger: logging.Logger = logging.getLogger("telex.triggers")
BUFFER = 1_000_000
"""How many messages may wait for a condition to look at them; those that do not fit are counted as lost."""
KEPT = 100_000
"""How many messages of several topics are read of what an engine keeps, the last ones."""


class Owner(Protocol):
    """Whose condition is watched."""

    name: str
    failed: int

    def tell(self, fired: Sequence[Fired]) -> None:
        """The condition has become true, at these instants."""

    def alarm(self, at: float) -> None:
        """It wants to be told the time at ``at``."""


class ConditionMonitor:
    """A condition on a hub. What raises in it is logged and counted, and the rest goes on."""

    def __init__(self, condition: Condition, runtime: Runtime, variables: Sequence[Variable[Any]], keys: int) -> None:
        self.condition = condition
        self.lost: int = 0
        self._runtime = runtime
        self._variables = variables
        self._keys = keys
        self._fold = ConditionEvaluator(condition, 0.0, {}, keys)
        self._alarm: float | None = None
        self._patterns: list[str] = []  # of all sources, and of all variables whose changes come as messages
        self._routes: list[tuple[Pattern, Source]] = []
        self._heard: dict[str, Variable[Any]] = {}  # those variables, by topic
        self._topic: Topic[Any] | None = None
        self._inbox: ReportingSubscription[Any] | None = None
        self._seen: dict[str, set[str]] = {}  # by topic, the ids of what was read from what the engine keeps
        self._owner: Owner | None = None
        self._closed = False
        self.known: float = 0.0  # from when on all is known that happened, on a shared engine

    def describe(self) -> str:
        """What is watched, for people."""
        return f"when {self.condition!r}"

    @property
    def forgotten(self) -> int:
        """Keys of which something was known, that made room for others."""
        return self._fold.forgotten

    # -- life

    def begin(self, owner: Owner, start: float) -> None:
        """Watch from now on, on an engine of this process alone."""
        self._owner = owner
        for variable in self._variables:
            variable.listeners.append(self._change)
        self._fold = ConditionEvaluator(
            self.condition, start, {each.name: each.value for each in self._variables}, self._keys
        )
        self._begin_reading()

    def look(self) -> None:
        """Whether it is true as it begins."""
        self._act(lambda fold: fold.look(fold.now))
        self._set_alarm()

    async def resume(self, owner: Owner, start: float, *, fresh: bool) -> None:
        """Watch what an engine keeps, and from now on, all in the order in which it is kept: whoever reads the same
        comes to the same instants. ``start`` is when the trigger was declared first; what happened before only counts
        as it was. A ``fresh`` one that is true then fires for that.
        """
        self._owner = owner
        self._heard = {variable.name: variable for variable in self._variables}
        self._leave()  # what an engine that failed has left half done
        self._begin_reading()
        # Values come first: what is changed from now on is read below, or comes.
        values = {each.name: (await each.stored())[0] for each in self._variables}
        found = await self._kept()
        self._seen = {topic: set() for topic in {message.topic for message in found}}
        for message in found:
            self._seen[message.topic].add(message.id)
        begins = {message.topic: number for number, message in reversed(list(enumerate(found)))}
        cut = max((number for number in begins.values() if found[number].seq > 1), default=None)
        self.known = start if cut is None else time_of(found[cut])
        if cut is not None and self.known > start:
            # Of the time before, retention has let something go: nobody can say what was true then.
            start, fresh, found = self.known, False, found[cut:]
        for variable in self._variables:
            first = next((message for message in found if message.topic == variable.name), None)
            if first is not None:
                values[variable.name] = self._before(variable, first)
        begin = min((time_of(found[0]) if found else start), start)
        self._fold = ConditionEvaluator(self.condition, begin, values, self._keys)
        self._act(lambda fold: fold.look(begin))
        for message in found:
            if fresh and time_of(message) > start:
                self._look(start)
                fresh = False
            self._feed((message,))
        if fresh:
            self._look(start)

    async def _kept(self) -> list[Message[Any]]:
        """What the engine keeps, in its order."""
        store = self._runtime.engine.store
        if store is None or (len(self._patterns) == 1 and not is_pattern(self._patterns[0])):
            return [message for pattern in self._patterns async for message in self._runtime.topic(pattern).history()]
        matches = Pattern(*self._patterns).matches
        return list(await store.read_pattern([topic for topic in store.topics() if matches(topic)], KEPT))

    def _look(self, start: float) -> None:
        """Whether it is true at ``start``: what was true before fires now."""
        self._act(lambda fold: fold.look(start))
        if self._fold.holds and self._owner is not None:
            self._owner.tell([Fired(start, value=self._fold.value)])

    def _before(self, variable: Variable[Any], message: Message[Any]) -> Any:
        try:
            return variable.read(message.content).before
        except ContentError:
            return variable.initial

    def _begin_reading(self) -> None:
        """From one log, whatever it is about: its order is that in which the engine keeps messages."""
        # Of one pattern in the order in which they stand there: it is the same in every process.
        sources = sorted(_sources(self.condition), key=lambda source: source.pattern)
        self._routes = [(Pattern(source.pattern), source) for source in sources]
        self._patterns = sorted({*(source.pattern for source in sources), *self._heard})
        if self._patterns:
            self._enter("new")

    def _enter(self, start: Literal["new", "earliest"]) -> None:
        several = len(self._patterns) > 1
        runtime = self._runtime
        self._topic = runtime.topics.gather(self._patterns) if several else runtime.topic(self._patterns[0])
        self._inbox = self._topic.subscribe(start=start, buffer=BUFFER, report_lost=True)
        enter(self._inbox)

    def readers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What has to run, as coroutine functions."""
        return [] if self._inbox is None else [self._read]

    async def _read(self) -> None:
        while self._inbox is not None:
            async for batch in self._inbox.batches():
                self._take(batch)
                self._set_alarm()
            if self._closed or self._runtime.closed:
                return
            # Its topic was removed: what comes to the one that is made anew, or has come there already, counts too.
            self._enter("earliest")

    def close(self) -> None:
        """Watch no more."""
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

    # -- what happens

    def ring(self, now: float) -> None:
        """It is ``now``."""
        self._alarm = None
        self._drain()
        # Not to `now`: when this process was rung is to be seen in no instant.
        while (at := self._fold.next) is not None and at <= now:
            self._act(partial(ConditionEvaluator.advance, now=at))
        self._set_alarm()

    def rearm(self, now: float) -> None:
        """Ask again to be told the time, after a pause."""
        self._alarm = None
        self._set_alarm()

    def _change(self, variable: str, value: Any, now: float) -> None:
        self._drain()  # what came before is looked at before
        self._act(lambda fold: fold.change(variable, value, now))
        self._set_alarm()

    def _drain(self) -> None:
        while self._inbox is not None:
            try:
                self._take(self._inbox.receive_many_nowait())
            except (WouldBlock, Closed, SlowSubscriber):
                return

    def _take(self, batch: Sequence[Message[Any] | Lost]) -> None:
        first = batch[0]
        if isinstance(first, Lost):
            self.lost += first.count
            where = ", ".join(self._patterns)
            logger.warning("the condition %r missed %d messages of %s", self.condition, first.count, where)
            return
        messages: Any = batch  # a Lost comes alone
        if self._seen:
            messages = [message for message in messages if self._is_new(message)]
        if not messages:
            return
        if len(self._routes) == 1 == len(self._patterns) and not self._heard:
            self._tell(self._routes[0][1], messages)
            return
        for _, run in groupby(messages, key=attrgetter("topic")):
            self._feed(tuple(run))

    def _is_new(self, message: Message[Any]) -> bool:
        """Whether it was not read from what the engine keeps."""
        seen = self._seen.get(message.topic)
        if seen is None:
            return True
        if message.id in seen:
            return False
        del self._seen[message.topic]  # and so are all that follow, also when the topic is made anew
        return True

    def _feed(self, messages: Sequence[Message[Any]]) -> None:
        """Messages of one topic. Each is told to all that it concerns before the next one is."""
        topic = messages[0].topic
        sources = [source for pattern, source in self._routes if pattern.matches(topic)]
        variable = self._heard.get(topic)
        if variable is None and len(sources) == 1:
            self._tell(sources[0], messages)
            return
        for message in messages:
            if variable is not None:
                self._tell_change(variable, message)
            for source in sources:
                self._tell(source, (message,))

    def _tell_change(self, variable: Variable[Any], message: Message[Any]) -> None:
        try:
            value = variable.read(message.content).value
        except ContentError:
            return  # it is told where the variable hears of it
        self._act(lambda fold: fold.change(variable.name, value, time_of(message)))

    def _tell(self, source: Source, messages: Sequence[Message[Any]]) -> None:
        fold = self._fold
        failed = fold.failed
        self._act(lambda fold: fold.feed(source, messages))
        if fold.failed != failed and self._owner is not None:
            self._owner.failed += fold.failed - failed
            where = (self.condition, fold.failed - failed, source.pattern)
            logger.error("by= of %r raised for %d messages of %s", *where, exc_info=fold.error)

    def _act(self, act: Callable[[ConditionEvaluator], list[Fired]]) -> None:
        owner = self._owner
        if owner is None:
            raise AssertionError("what happens is told after `begin`")
        try:
            fired = act(self._fold)
        except Exception as error:  # a comparison may raise whatever it likes: the others go on
            owner.failed += 1
            logger.error("trigger %s: its condition %r raised", owner.name, self.condition, exc_info=error)
            return
        if fired:
            owner.tell(fired)

    def _set_alarm(self) -> None:
        at = self._fold.next
        if at is not None and (self._alarm is None or at < self._alarm) and self._owner is not None:
            self._alarm = at
            self._owner.alarm(at)


def _sources(condition: Condition) -> dict[Source, None]:
    """What a condition is about, each once, in the order in which it says so."""
    found: dict[Source, None] = {}
    for part in condition.parts:
        found |= _sources(part)
    return found or dict.fromkeys(condition.sources)  # of one without parts there is at most one
