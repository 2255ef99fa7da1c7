"""`History`: the iterator of `Topic.history`, over the log of this process or over the pages of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from telex.engines.contract.store import PAGE, Holed
from telex.errors import EngineFailed, Misuse
from telex.message import Lost, Message, Position, has_expired, headers_of

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.store import Store
    from telex.log.start import Start


class History:
    """An iterator over kept messages. It is not a generator, so that leaving a loop early needs no cleanup.

    ``pages`` awaits the next items, oldest first, which may be none; None at the end.
    """

    __slots__ = ("_items", "_pages")

    def __init__(self, pages: Callable[[], Awaitable[Iterable[Any] | None]]) -> None:
        self._pages = pages
        self._items: Iterator[Any] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            return item
        while (page := await self._pages()) is not None:
            self._items = iter(page)
            for item in self._items:
                return item
        raise StopAsyncIteration

    def __iter__(self) -> NoReturn:
        raise Misuse("use `for` on a history", "iterate over it with `async for`")

    def __await__(self) -> NoReturn:
        raise Misuse("await a history", "iterate over it: `[m async for m in topic.history()]`")


def unexpired(page: Sequence[Any], clock: Callable[[], float], *, holed: bool = False) -> Iterable[Any]:
    """Return a page without the messages that have expired when they are asked for. ``holed``: it may have `Lost`.
    ``clock`` returns seconds since 1970.
    """
    if not holed and not any(map(headers_of, page)):
        return page  # no message expires
    return filter(lambda item: item.__class__ is Lost or not has_expired(item, clock()), page)


class SinglePage:
    """A snapshot as a single page."""

    def __init__(self, snapshot: Callable[[], Awaitable[Iterable[Any]]]) -> None:
        self._snapshot: Callable[[], Awaitable[Iterable[Any]]] | None = snapshot

    async def __call__(self) -> Iterable[Any] | None:
        """Return the snapshot, and None after that."""
        snapshot, self._snapshot = self._snapshot, None
        return None if snapshot is None else await snapshot()


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

    async def __call__(self) -> Iterable[Message[Any] | Lost] | None:
        """Return the next page, or None at the end. When the start is a `Position`, it has a `Lost` in place of
        unreadable messages; for other starts `EngineFailed` is raised there.
        """
        before: tuple[Lost, ...] = ()
        if self._next is None:
            self._next, hole, _ = await self._store.find(self._topic, self._start, self._now())
            self._end = self._store.extent(self._topic).end
            if hole is not None and isinstance(self._start, Position):
                before = (hole,)
        if self._left == 0 or self._next >= self._end:
            return before or None
        limit = PAGE if self._left is None else min(PAGE, self._left)
        found = await self._store.read(self._topic, self._next, self._end, limit)
        if not found:
            self._next = self._end
            return before or None
        last = found[-1]
        self._next = 1 + (last.last if isinstance(last, Lost) else last.seq)
        lost = isinstance(found, Holed)
        if self._left is not None:
            self._left -= sum(not isinstance(item, Lost) for item in found) if lost else len(found)
        page = unexpired(found, self._now, holed=lost)
        if lost and not isinstance(self._start, Position):
            return Holes(self._topic, page)
        return chain(before, page) if before else page
