"""`FetchWaiters`: the fetches that wait until their group may have a message to lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from telex.engines.contract.groups import Delivery, Fetched
from telex.errors import Closed, TelexError
from telex.names import Pattern, is_pattern
from telex.process.tasks import start_task
from telex.process.waiters import Waiter

logger: logging.Logger = logging.getLogger("telex")


class Attempt(NamedTuple):
    """The result of one attempt to lease messages."""

    fetched: Fetched
    due: float | None = None
    """The seconds until a delay or a lease ends, after which to try again; None when no delay or lease is running."""


Lease = Callable[[bool], Coroutine[Any, Any, Attempt]]
"""Tries to lease messages. The argument is true after messages were published."""
Release = Callable[[Sequence[Delivery]], Awaitable[object]]
"""Returns leased messages to their group."""


class WaitingFetch:
    """One running fetch, between two attempts to lease messages."""

    __slots__ = ("is_published", "is_stirred", "waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiter: Waiter = Waiter(loop)
        self.is_stirred: bool = False
        self.is_published: bool = False

    def stir(self) -> None:
        """Wake the fetch: there may be a delivery since its last attempt."""
        self.is_stirred = True
        self.waiter.wake()

    async def until(self, moment: float) -> None:
        """Wait until `stir` is called, or until ``moment`` by the clock of the loop."""
        if self.is_stirred:
            return
        timer = self.waiter.loop.call_at(moment, self.waiter.wake)
        try:
            await self.waiter
        finally:
            timer.cancel()


class FetchWaiters:
    """The running fetches of an engine, in the event loop."""

    def __init__(self) -> None:
        self._by_pattern: dict[str, dict[WaitingFetch, None]] = {}
        self._patterns: dict[str, Pattern] = {}  # those of them that are no topic
        self._is_closed = False

    def close(self) -> None:
        """Raise `Closed` in every waiting fetch."""
        self._is_closed = True
        self.stir()

    def published(self, topics: Iterable[str]) -> None:
        """Note that messages of these topics can be leased now."""
        if not self._by_pattern:
            return
        for topic in topics:
            self._tell(topic)
            for name, pattern in self._patterns.items():
                if pattern.matches(topic):
                    self._tell(name)

    def _tell(self, name: str) -> None:
        for waiting in self._by_pattern.get(name, ()):
            waiting.is_published = True
            waiting.stir()

    def stir(self, pattern: str | None = None) -> None:
        """Wake the fetches of the groups on ``pattern`` (None: of all groups): there may be messages to lease."""
        for name in list(self._by_pattern) if pattern is None else (pattern,):
            for waiting in self._by_pattern.get(name, ()):
                waiting.stir()

    async def fetch(self, pattern: str, wait: float, lease: Lease, release: Release) -> Fetched:
        """Attempt to lease messages until there are any, at most ``wait`` seconds. Cancelled, it leaves none leased."""
        loop = asyncio.get_running_loop()
        end, waiting = loop.time() + wait, WaitingFetch(loop)
        self._add(pattern, waiting)
        try:
            attempts = 0
            while True:
                if self._is_closed:
                    raise Closed("the engine", "its hub was closed; open another")
                is_published = waiting.is_published
                waiting.is_stirred = waiting.is_published = False
                fetched, due = await _undisturbed(lease(is_published), release)
                now = loop.time()
                if fetched.deliveries or fetched.unreadable or now >= end:
                    return msgspec.structs.replace(fetched, waited=True) if attempts else fetched
                attempts += 1
                await waiting.until(end if due is None else min(end, now + due))
        finally:
            self._discard(pattern, waiting)

    def _add(self, pattern: str, waiting: WaitingFetch) -> None:
        self._by_pattern.setdefault(pattern, {})[waiting] = None
        if is_pattern(pattern) and pattern not in self._patterns:
            self._patterns[pattern] = Pattern(pattern)

    def _discard(self, pattern: str, waiting: WaitingFetch) -> None:
        fetches = self._by_pattern[pattern]
        del fetches[waiting]
        if not fetches:
            del self._by_pattern[pattern]
            self._patterns.pop(pattern, None)


async def _undisturbed(lease: Coroutine[Any, Any, Attempt], release: Release) -> Attempt:
    """Await an attempt. When it is cancelled, wait for the end of the attempt, and return its messages to the group."""
    task = start_task(lease, name="telex fetch")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _ended(task)
        if not task.cancelled() and task.exception() is None:
            fetched = task.result().fetched
            given = [*fetched.deliveries, *fetched.unreadable]
            if given:
                await _ended(start_task(_released(release, given), name="telex release"))
        raise


async def _released(release: Release, given: Sequence[Delivery]) -> None:
    try:
        await release(given)
    except TelexError as error:
        logger.error("%d messages of a cancelled fetch come again when their leases end: %s", len(given), error)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task, also when the wait is cancelled again."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
