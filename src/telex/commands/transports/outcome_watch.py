"""`OutcomeWatch`: follows the commands of other hubs for the tickets of `Hub.ticket`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context
from functools import partial
from typing import Any
from weakref import WeakSet

from telex.commands.outcome import Outcome
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.replies import ReplyInbox
from telex.message import Lost
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task
from telex.runtime import Runtime
from telex.topics.subscription import AnySubscription, enter

CHECK_SECONDS = 5.0
"""The time between two searches for outcomes that were not published to followers."""
Find = Callable[[str, Collection[str]], Awaitable[list[Outcome[Any]]]]
"""Returns the outcomes of those commands of a name that have ended."""


class OutcomeWatch:
    """The subscriptions to the outcomes and to the progress of commands, one of each name while a ticket waits."""

    def __init__(self, runtime: Runtime, inbox: ReplyInbox, find: Find, check_seconds: float = CHECK_SECONDS) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self._find = find
        self._check_seconds = check_seconds
        self._waiting: dict[str, WeakSet[PendingOutcome[Any]]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    async def begin(self, pending: PendingOutcome[Any]) -> None:
        """Follow a command until its outcome comes. It is followed when this method returns."""
        name = pending.command
        self._waiting.setdefault(name, WeakSet()).add(pending)
        if name in self._tasks:
            return
        work = [keep_doing(f"looking for outcomes of {name!r}", partial(self._check, name), pause=0.0)]
        for kind in ("outcome", "progress"):
            topic = self._runtime.topic(f"$command:{name}:{kind}")
            subscription = topic.subscribe(overflow="catch_up", report_lost=True)
            enter(subscription)
            work.append(self._follow(subscription))
        self._tasks[name] = [start_task(each, name=f"telex watches {name}", context=Context()) for each in work]

    async def _follow(self, subscription: AnySubscription[Any, Any]) -> None:
        try:
            await keep_doing("following commands of other hubs", partial(self._take_all, subscription))
        finally:
            await subscription.aclose()

    async def _take_all(self, subscription: AnySubscription[Any, Any]) -> None:
        async for message in subscription:
            if not isinstance(message, Lost):  # lost outcomes are found by `_check`
                await self._inbox.take(message.content)

    async def _check(self, name: str) -> None:
        """Look for the outcomes of waiting tickets now and then. Stop following when no ticket waits."""
        waiting = self._waiting[name]
        while True:
            await asyncio.sleep(self._check_seconds)
            ids = [pending.id for pending in list(waiting) if pending.outcome is None]
            if ids:
                for outcome in await self._find(name, ids):
                    self._inbox.settle(outcome, None, decode=True)
            for pending in list(waiting):
                if pending.outcome is not None:
                    waiting.discard(pending)
            if not waiting:
                break
        del self._waiting[name]
        for task in self._tasks.pop(name)[1:]:
            task.cancel()

    async def close(self) -> None:
        """Stop following."""
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
