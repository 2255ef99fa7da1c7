"""`Watch`: tells a `Fold` what happens: the messages, the changes and the time of one hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol

from telex.errors import Closed, ContentError, SlowSubscriber, WouldBlock
from telex.message import Lost, Message
from telex.subscription import ReportingSubscription
from telex.triggers.condition import Condition, Source
from telex.triggers.fold import Fired, Fold

if TYPE_CHECKING:
    from telex.hub import Hub
    from telex.triggers.variable import Variable

logger: logging.Logger = logging.getLogger("telex.triggers")
BUFFER = 1_000_000
"""How many messages may wait for a condition to look at them; those that do not fit are counted as lost."""


class Owner(Protocol):
    """Whose condition is watched."""

    name: str
    failed: int

    def tell(self, fired: Sequence[Fired]) -> None:
        """The condition has become true, at these instants."""

    def alarm(self, at: float) -> None:
        """It wants to be told the time at ``at``."""


class Watch:
    """A condition on a hub. What raises in it is logged and counted, and the rest goes on."""

    def __init__(self, condition: Condition, hub: Hub, variables: Sequence[Variable[Any]], keys: int) -> None:
        self.condition = condition
        self.lost: int = 0
        self._hub = hub
        self._variables = variables
        self._keys = keys
        self._fold = Fold(condition, 0.0, {}, keys)
        self._alarm: float | None = None
        self._subscriptions: list[tuple[Source, ReportingSubscription[Any]]] = []
        self._heard: dict[Source, Variable[Any]] = {}  # variables whose changes come as messages
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
        self._fold = Fold(self.condition, start, {each.name: each.value for each in self._variables}, self._keys)
        self._enter_all(self.condition.sources)

    def look(self) -> None:
        """Whether it is true as it begins."""
        self._act(lambda fold: fold.look(fold.now))
        self._set_alarm()

    async def resume(self, owner: Owner, start: float, *, fresh: bool) -> None:
        """Watch what an engine keeps, and from now on. Whoever reads the same messages of one source comes to the same
        instants; of several, as far as they come in the order of their times. ``start`` is when the trigger was
        declared first; what happened before only counts as it was. A ``fresh`` one that is true then fires for that.
        """
        self._owner = owner
        self._heard = {Source(variable.name): variable for variable in self._variables}
        self._leave()  # what an engine that failed has left half done
        self._enter_all(self.condition.sources | self._heard.keys())
        # Values come first: what is changed from now on is read below, or comes.
        values = {each.name: (await each.stored())[0] for each in self._variables}
        found: list[tuple[float, int, Source, Message[Any]]] = []
        firsts: dict[str, tuple[float, int]] = {}  # of what is kept of each topic
        for number, (source, _) in enumerate(self._subscriptions):
            async for message in self._hub.topic(source.pattern).history():
                found.append((message._time, number, source, message))
                firsts.setdefault(message.topic, (message._time, message.seq))
                self._seen.setdefault(message.topic, set()).add(message.id)
        found.sort(key=lambda each: each[:2])
        self.known = max((at for at, seq in firsts.values() if seq > 1), default=start)
        if self.known > start:
            # Of the time before, retention has let something go: nobody can say what was true then.
            start, fresh = self.known, False
            found = [each for each in found if each[0] >= start]
        for variable in self._variables:
            first = next((message for _, _, source, message in found if source == Source(variable.name)), None)
            if first is not None:
                values[variable.name] = self._before(variable, first)
        begin = min((found[0][0] if found else start), start)
        self._fold = Fold(self.condition, begin, values, self._keys)
        self._act(lambda fold: fold.look(begin))
        for time, _, source, message in found:
            if fresh and time > start:
                self._look(start)
                fresh = False
            self._act(partial(self._feed, source=source, messages=(message,)))
        if fresh:
            self._look(start)

    def _look(self, start: float) -> None:
        """Whether it is true at ``start``: what was true before fires now."""
        self._act(lambda fold: fold.look(start))
        if self._fold.holds and self._owner is not None:
            self._owner.tell([Fired(start)])

    def _before(self, variable: Variable[Any], message: Message[Any]) -> Any:
        try:
            return variable.read(message.content).before
        except ContentError:
            return variable.initial

    def _enter_all(self, sources: frozenset[Source]) -> None:
        for source in sorted(sources, key=lambda source: source.pattern):
            self._enter(source)

    def _enter(self, source: Source, start: Literal["new", "earliest"] = "new") -> ReportingSubscription[Any]:
        subscription = self._hub.topic(source.pattern).subscribe(start=start, buffer=BUFFER, report_lost=True)
        subscription.enter()
        self._subscriptions.append((source, subscription))
        return subscription

    def readers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What has to run for each source, as coroutine functions."""
        return [partial(self._read, source, of) for source, of in self._subscriptions]

    async def _read(self, source: Source, subscription: ReportingSubscription[Any]) -> None:
        while True:
            async for batch in subscription.batches():
                if len(self._subscriptions) == 1:
                    self._take(source, batch)
                else:
                    self._merge([(source, batch), *self._waiting()])
                self._set_alarm()
            if self._closed or self._hub.closed:
                return
            # Its topic was removed: what comes to the one that is made anew, or has come there already, counts too.
            self._subscriptions.remove((source, subscription))
            subscription = self._enter(source, "earliest")

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        for variable in self._variables:
            if self._change in variable.listeners:
                variable.listeners.remove(self._change)
        self._leave()

    def _leave(self) -> None:
        for _, subscription in self._subscriptions:
            subscription.leave()
        self._subscriptions.clear()

    # -- what happens

    def ring(self, now: float) -> None:
        """It is ``now``."""
        self._alarm = None
        self._drain()
        self._act(lambda fold: fold.advance(now))
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
        self._merge(self._waiting())

    def _waiting(self) -> list[tuple[Source, Sequence[Message[Any] | Lost]]]:
        found: list[tuple[Source, Sequence[Message[Any] | Lost]]] = []
        for source, subscription in self._subscriptions:
            while True:
                try:
                    found.append((source, subscription.receive_many_nowait()))
                except (WouldBlock, Closed, SlowSubscriber):
                    break
        return found

    def _merge(self, waiting: list[tuple[Source, Sequence[Message[Any] | Lost]]]) -> None:
        """Look at what has come from several sources in the order of its times, in which others see it, too."""
        if len({source for source, _ in waiting}) <= 1:
            for source, batch in waiting:
                self._take(source, batch)
            return
        messages: list[tuple[float, Source, Message[Any]]] = []
        for source, batch in waiting:
            for item in batch:
                if isinstance(item, Lost):
                    self._take(source, (item,))
                else:
                    messages.append((item._time, source, item))
        messages.sort(key=itemgetter(0))
        for source, run in groupby(messages, key=itemgetter(1)):
            self._take(source, [message for _, _, message in run])

    def _take(self, source: Source, batch: Sequence[Message[Any] | Lost]) -> None:
        first = batch[0]
        if isinstance(first, Lost):
            self.lost += first.count
            logger.warning("the condition %r missed %d messages of %s", self.condition, first.count, source.pattern)
            return
        messages: Any = batch  # a Lost comes alone
        if self._seen:
            messages = [message for message in messages if self._is_new(message)]
            if not messages:
                return
        self._act(lambda fold: self._feed(fold, source, messages))

    def _is_new(self, message: Message[Any]) -> bool:
        """Whether it was not read from what the engine keeps."""
        seen = self._seen.get(message.topic)
        if seen is None:
            return True
        if message.id in seen:
            return False
        del self._seen[message.topic]  # and so are all that follow, also when the topic is made anew
        return True

    def _feed(self, fold: Fold, source: Source, messages: Sequence[Message[Any]]) -> list[Fired]:
        fired: list[Fired] = []
        variable = self._heard.get(source)
        if variable is not None:
            for message in messages:
                try:
                    value = variable.read(message.content).value
                except ContentError:
                    continue  # it is told where the variable hears of it
                fired += fold.change(variable.name, value, message._time)
        if source in self.condition.sources:
            failed = fold.failed
            fired += fold.feed(source, messages)
            if fold.failed != failed and self._owner is not None:
                self._owner.failed += fold.failed - failed
                where = (self.condition, fold.failed - failed, source.pattern)
                logger.error("by= of %r raised for %d messages of %s", *where, exc_info=fold.error)
        return fired

    def _act(self, act: Callable[[Fold], list[Fired]]) -> None:
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
