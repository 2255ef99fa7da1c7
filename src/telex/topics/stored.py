"""`EnginePublisher`: publishes to a topic whose log an engine stores outside of this process."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from threading import get_ident
from time import time
from typing import Any, NoReturn, Protocol

from telex.codec.content import hold
from telex.engines.contract import Engine, Store
from telex.engines.contract.store import Extent, Holed
from telex.errors import EngineFailed, WouldBlock
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention, cached
from telex.log.options import Options
from telex.log.start import Found, Start
from telex.log.state import REMOVED
from telex.message import Draft, Lost, Message, Position, size_of, time_of
from telex.names import is_pattern
from telex.observe.headers import Carrier
from telex.process.waiters import park, within
from telex.topics.connection import EngineConnection
from telex.topics.history import History, Pages
from telex.topics.publisher import FINISHED, Publisher

_seq: Callable[[Message[Any]], int] = attrgetter("seq")
BEFORE_PATTERN = 1000
"""The number of stored messages that can be put before the first message of a pattern's log."""


class Following(Protocol):
    """The part of a store that `Follows` calls."""

    def follow(self, name: str) -> None:
        """Deliver new messages, see `Store.follow`."""

    def unfollow(self, name: str) -> None:
        """Deliver no more messages, see `Store.unfollow`."""


class Follows:
    """The names that the publishers of a hub follow. A store is called for the first and the last of each."""

    def __init__(self, store: Following) -> None:
        self._store = store
        self._counts: dict[str, int] = {}

    def follow(self, names: Sequence[str]) -> None:
        """Have the messages of topics and patterns delivered."""
        for name in names:
            self._counts[name] = self._counts.get(name, 0) + 1
            if self._counts[name] == 1:
                self._store.follow(name)

    def unfollow(self, names: Sequence[str]) -> None:
        """Undo one call of `follow`."""
        for name in names:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
                self._store.unfollow(name)


class EnginePublisher(Publisher):
    """The `Publisher` of a log that an engine stores. It passes drafts to the store, and reads stored messages from it.
    The engine delivers each message to the local log, which has only the last ones.
    """

    __slots__ = ("_expected", "_follows", "_free", "_names", "_reads", "_store")

    def __init__(
        self,
        id: str,
        log: Log,
        engine: Engine,
        store: Store,
        follows: Follows,
        declared: type[Any] | None,
        clock: Callable[[], float],
        connection: EngineConnection,
        carrier: Carrier,
    ) -> None:
        if is_pattern(id):
            log.begin(_begin_of_pattern(log))
        super().__init__(id, log, engine, declared, clock, connection, carrier)
        self._store = store
        self._follows = follows
        gathered = id.split()  # several names and a ">", see `TopicRegistry.gather`
        self._names = gathered[:-1] if len(gathered) > 1 else gathered
        self._reads = False  # True while it follows its names
        self._free = False  # True when publishing is only a call of the store
        self._expected: Draft | None = None  # a draft that is being stored, for which the subscribers have room

    def begin(self) -> None:
        """Set the start of the log to the end of the stored log, which was unknown when this object was made."""
        if not is_pattern(self.id) and self.log.end == self.origin:
            known = self.engine.log(self.id, self.log.retention)
            self.take_epoch(known)
            self.log.begin(known.end)
            self.origin: int = known.end

    def take_epoch(self, log: Log) -> None:
        """Take the epoch of ``log``."""
        self.log.epoch, self.log.uid = log.epoch, log.uid

    # -- publishing

    async def publish(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[Any]:
        """Store a message when the subscribers have room."""
        if limit is None and not self.gated():
            if self._free and id is None and headers is None and key is None and get_ident() == self.thread:
                # the same as `draft`, without calls
                draft = Draft(content, self.id, None, time(), None, None, None, hold(content, self.id))
            else:
                draft = self.draft(content, id, headers, key)
            return (await self._store.append((draft,)))[0]
        storing = self.put_draft(self.draft(content, id, headers, key))
        return await within(limit, f"publishing to {self.id!r}", storing, self.connection)

    put = publish

    async def publish_held(
        self,
        content: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Message[Any]:
        """Store a message without checking that its content comes back equal."""
        return await self.put_draft(self.draft(content, id, headers, key, held=True))

    async def keep_until(self, draft: Draft, due: float) -> Message[Any]:
        """Store a message, which the engine publishes at ``due``."""
        return (await self._store.append((draft,), due))[0]

    async def cancel(self, id: str) -> bool:
        """Discard a message that waits for its time."""
        return await self._store.cancel(self.id, id)

    async def put_draft(self, draft: Draft) -> Message[Any]:
        """Store a draft when the subscribers have room."""
        if not self.gated():
            return (await self._store.append((draft,)))[0]
        size = size_of(draft.content, draft.headers) if self.measures() else 0
        with await self.room(size, None, lambda: False):
            self._expected = draft  # one at a time: the next publisher waits in the queue
            try:
                return (await self._store.append((draft,)))[0]
            finally:
                self._expected = None

    def publish_nowait(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None
    ) -> NoReturn:
        """Raise `WouldBlock`: publishing always waits for the store."""
        self.draft(content, id, headers, key)  # a mistake is raised first
        raise WouldBlock(f"publishing to {self.id!r} waits until the engine has the message")

    def check_content(self, content: Any) -> tuple[Any, bytes | None]:
        """Check content, also that it comes back equal from the store."""
        if self.content is None:
            return content, None if self.format is not None else hold(content, self.id)
        content = self.content.check(content, self.id)
        if self.format is not None:  # its codec checks that the content comes back equal
            return content, None
        return content, self.content.hold(content, self.id, content.__class__.__name__)

    def has_room_for(self, message: Message[Any]) -> bool:
        """Return true when the message is the expected one."""
        draft = self._expected
        return draft is not None and message.content is draft.content and time_of(message) == draft.time

    def refresh(self) -> None:
        """Set `_free` again: true when publishing needs only the check of content."""
        self._free = self.is_free() and not self.carrier.active

    # -- reading

    def check_readable(self) -> None:
        """Raise `Closed` unless the caller may read the topic. A finished topic can be read."""
        if self.reason is not FINISHED:
            self.check_open()

    def follow(self) -> None:
        """Have new messages delivered to the local log, from now on."""
        if self._reads:
            return
        self._reads = True
        log = self.log
        if is_pattern(self.id):
            log.restart(_begin_of_pattern(log))
            self.origin = log.end
        else:
            end = self.engine.log(self.id, log.retention).end
            if end != log.seq(log.end):
                log.restart(end)
                self.origin = end
        self._follows.follow(self._names)

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Append messages that the engine has stored."""
        if not self._reads and not self.log.cursors:
            self.log.restart(messages[0].seq)  # it was not followed until now
        if self.log.numbers is not None:
            self.log.numbers.extend(self.log.end, messages)
        super().deliver(messages)

    def unfollow(self) -> None:
        """Undo `follow`, if nobody reads the local log."""
        if self._reads and not self.log.cursors:
            self._reads = False
            self._follows.unfollow(self._names)
            self.origin = self.log.end  # the registry may release it: the store has the messages

    def attach(self, options: Options, start: Start, found: Found | None = None) -> Cursor:
        """Make the cursor of a subscription."""
        self.check_here()
        self.resume()
        self.follow()
        return super().attach(options, start, found)

    def detach(self) -> None:
        """End the interest of this process with its last subscription."""
        self.unfollow()
        super().detach()

    @property
    def end(self) -> int:
        """The number that the next message gets; for a pattern, in the local log."""
        return self.log.end if is_pattern(self.id) else max(self.log.seq(self.log.end), self._store.extent(self.id).end)

    def prepare(self, options: Options, start: Start) -> Awaitable[Found | None] | None:
        """Return an awaitable for `attach`'s ``found``."""
        self.check_here()
        if start == "new":
            return None
        return self._follow_and(self._fill() if is_pattern(self.id) else self._prepare(options, start))

    async def _follow_and(self, preparing: Coroutine[Any, Any, Found | None]) -> Found | None:
        """Follow, and prepare. When it fails nothing is followed any more."""
        try:
            self.resume()
            self.follow()
            return await preparing
        except BaseException:
            preparing.close()
            self.detach()
            raise

    async def _prepare(self, options: Options, start: Start) -> Found:
        log, base = self.log, self.log.base
        number, hole, count = await self._store.find(self.id, start, self.clock(), log.seq(base))
        while log is self.log and log.seq(log.end) < number:
            self.check_readable()
            await park(log)  # the store had messages that were not delivered here yet
        if log is not self.log or (number < log.seq(log.base) and log.base != base):
            return await self._prepare(options, start)  # the log was trimmed in the meantime
        first = _place(log, number, base - count)
        if log is self.log and options.key is not None and first < log.base:
            # The newest message of each key is found by reading the messages.
            run = await self._read_before(log, number)
            log.prepend(run)
            if first < log.base:
                if options.report_lost and hole is None:
                    hole = Lost(log.base - first, number, log.seq(log.base) - 1, "unreadable")
                first = log.base
        # the topic was removed while this task waited
        return (first, hole) if log is self.log else await self._prepare(options, start)

    async def _read_before(self, log: Log, number: int) -> list[Message[Any]]:
        """Return the stored messages from ``number`` up to those of the log; only those after an unreadable one."""
        run: list[Message[Any]] = []
        while number < log.seq(log.base):
            page = await self._store.read(self.id, number, log.seq(log.base))
            if not page:
                break
            for item in page:
                if isinstance(item, Lost):
                    run = []
                else:
                    run.append(item)
            number = 1 + (page[-1].last if isinstance(page[-1], Lost) else page[-1].seq)
        return [message for message in run if message.seq < log.seq(log.base)]

    async def _fill(self) -> None:
        """Put the stored messages of a pattern before the messages of its local log."""
        log, store = self.log, self._store
        if log.base != self.origin:
            return  # this was done before, or the log has all messages that its retention keeps
        kept = await store.read_pattern(self._names, self.origin - 1)
        if log.base == self.origin:
            here = {(message.topic, message.seq) for message in log.messages}
            log.prepend([message for message in kept if (message.topic, message.seq) not in here])

    async def load(self, cursor: Cursor) -> None:
        """Read the next messages of a cursor from the store."""
        unloaded = cursor.unloaded
        if unloaded is None:
            return
        self.check_readable()
        start, end = unloaded
        log = cursor.log
        found: Any = ()
        place = end
        if cursor.ended != REMOVED:
            first, last = log.seq(start - 1) + 1, log.seq(end)
            found = await self._read(first, last)
            if found:
                number = found[0].first if isinstance(found[0], Lost) else found[0].seq
                place = start if number == first else max(start, end - await self._count(log, number, last, found))
        if cursor.ended == REMOVED:  # removed while this task waited: the next messages have the same numbers
            cursor.supply(start, end, (), "epoch")
            return
        lost = next((item for item in found if isinstance(item, Lost)), None) if isinstance(found, Holed) else None
        if lost is not None and found[0] is lost:
            if place > start:  # retention has deleted the messages before it, which is read again
                cursor.supply(start, place, ())
                return
            if log.numbers is not None:
                log.numbers.add(place + lost.count - 1, lost.last)
            cursor.supply(start, place + lost.count, (), "unreadable")
            return
        messages = found if lost is None else found[: found.index(lost)]  # the messages after it are read again
        log.expect(messages)
        if messages and log.numbers is not None:
            log.numbers.extend(place, messages)
        cursor.supply(start, place + len(messages), messages, first=place)

    async def _count(self, log: Log, number: int, end: int, found: Sequence[object]) -> int:
        """Return the number of messages from ``number``, where ``found`` begins, up to but not including ``end``."""
        _, lost, count = await self._store.find(self.id, Position(number - 1, log.epoch), self.clock(), end)
        return max(len(found), count + (0 if lost is None else lost.count))  # retention may have deleted some by now

    async def _read(self, first: int, end: int) -> Sequence[Message[Any] | Lost]:
        """Read from the store. After a lost connection, wait for it and try again."""
        while True:
            try:
                return await self._store.read(self.id, first, end)
            except EngineFailed:
                if self.connection.connected:
                    raise
                await self.connection.wait()
                self.check_readable()

    def history(self, start: Start, limit: int | None) -> AsyncIterator[Any]:
        """Iterate over the stored messages, page by page."""
        if is_pattern(self.id):
            return super().history(start, limit)
        return History(partial(self._page, Pages(self._store, self.id, start, limit, self.clock)))

    async def _page(self, pages: Pages) -> Any:
        self.check_readable()
        return await pages()

    async def snapshot(self, start: Start, limit: int | None) -> Any:
        """Return the kept messages of a pattern."""
        self.check_open()
        self.resume()
        self.follow()
        try:
            await self._fill()
            return await super().snapshot(start, limit)
        finally:
            self.detach()

    def backlog(self) -> Iterable[Message[Any]]:
        """Return nothing: stored messages are read when a subscription asks for them."""
        return ()

    def retain(self, retention: Retention) -> None:
        """Set how much the local log keeps."""
        super().retain(retention if is_pattern(self.id) else cached(retention))

    def extent(self) -> Extent:
        """Return the numbers and counts of the stored log; for a pattern, of the local log."""
        return super().extent() if is_pattern(self.id) else self._store.extent(self.id)


def _place(log: Log, number: int, place: int) -> int:
    """Return the place of the first message from ``number`` on: ``place`` when the log does not have this message."""
    if number >= log.seq(log.base):
        return log.base + bisect_left(log.messages, number, key=_seq)
    if log.numbers is not None:
        known = log.seq(place)
        log.numbers.add(place - 1, number - 1)
        log.numbers.add(place, known)
    return place


def _begin_of_pattern(log: Log) -> int:
    """Return the first number of a pattern's own messages: the numbers below are for stored ones."""
    return 1 + (log.retention.messages or BEFORE_PATTERN)
