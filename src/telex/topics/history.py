"""`History`: the iterator of `Topic.history`, over the log of this process or over the pages of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from telex.engines.contract.store import PAGE, Holed
from telex.errors import EngineFailed, Misuse
from telex.message import Lost, Message, Position, has_expired

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.store import Store
    from telex.log.start import Start


class History:
    """An iterator over kept messages that have not expired. It is not a generator, so that leaving a loop early needs
    no cleanup.

    ``pages`` awaits the next items, oldest first; none at the end. ``clock`` returns seconds since 1970.
    """

    __slots__ = ("_clock", "_items", "_pages")

    def __init__(self, pages: Callable[[], Awaitable[Iterable[Any]]], clock: Callable[[], float]) -> None:
        self._pages = pages
        self._clock = clock
        self._items: Iterator[Any] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        ended = False
        while True:
            for item in self._items:
                ended = False
                if item.__class__ is Lost or not has_expired(item, self._clock()):
                    return item
            if ended:
                raise StopAsyncIteration
            self._items, ended = iter(await self._pages()), True

    def __iter__(self) -> NoReturn:
        raise Misuse("use `for` on a history", "iterate over it with `async for`")

    def __await__(self) -> NoReturn:
        raise Misuse("await a history", "iterate over it: `[m async for m in topic.history()]`")


class SinglePage:
    """A snapshot as a single page."""

    def __init__(self, snapshot: Callable[[], Awaitable[Iterable[Any]]]) -> None:
        self._snapshot: Callable[[], Awaitable[Iterable[Any]]] | None = snapshot

    async def __call__(self) -> Iterable[Any]:
        """Return the snapshot, and an empty page after that."""
        snapshot, self._snapshot = self._snapshot, None
        return () if snapshot is None else await snapshot()


class Holes:
    """The items of a page with unreadable messages: `EngineFailed` is raised in place of each, and iteration can
    continue after it.
    """

    def __init__(self, topic: str, items: Iterable[Any]) -> None:
        self._topic = topic
        self._items = iter(items)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        item = next(self._items)
        if isinstance(item, Lost):
            which = f"message {item.first}" if item.count == 1 else f"messages {item.first} to {item.last}"
            problem = (
                "the content is damaged or has a codec that this hub lacks (see its log); `telex check FILE` lists all "
                "damage. Iterate on for the next messages, "
                "or use history(start=telex.Position(0, epoch)), which gives a Lost in its place"
            )
            raise EngineFailed(f"reading {which} of {self._topic!r}", problem)
        return item


class Pages:
    """The pages of a stored topic, up to its end when iteration began."""

    def __init__(self, store: Store, topic: str, start: Start, limit: int | None, now: Callable[[], float]) -> None:
        self._store = store
        self._topic = topic
        self._start = start
        self._left = limit
        self._now = now
        self._next: int | None = None
        self._end = 0

    async def __call__(self) -> Iterable[Message[Any] | Lost]:
        """Return the next page. When the start is a `Position`, it has a `Lost` in place of unreadable messages; for
        other starts `EngineFailed` is raised there.
        """
        page: list[Message[Any] | Lost] = []
        if self._next is None:
            self._next, hole, _ = await self._store.find(self._topic, self._start, self._now())
            self._end = self._store.extent(self._topic).end
            if hole is not None and isinstance(self._start, Position):
                page.append(hole)
        if self._left == 0 or self._next >= self._end:
            return page
        limit = PAGE if self._left is None else min(PAGE, self._left)
        found = await self._store.read(self._topic, self._next, self._end, limit)
        if not found:
            self._next = self._end
            return page
        last = found[-1]
        self._next = 1 + (last.last if isinstance(last, Lost) else last.seq)
        lost = isinstance(found, Holed)
        if self._left is not None:
            self._left -= sum(not isinstance(item, Lost) for item in found) if lost else len(found)
        page.extend(found)
        return Holes(self._topic, page) if lost and not isinstance(self._start, Position) else page
