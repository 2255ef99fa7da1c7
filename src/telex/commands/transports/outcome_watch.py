"""`OutcomeWatch`: follows the commands of other hubs for the tickets of `Hub.ticket`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import WeakSet

from telex.commands.outcome import Outcome
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.replies import ReplyInbox
from telex.errors import EngineFailed
from telex.message import Lost
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task
from telex.runtime import Runtime
from telex.topics.subscription import AnySubscription, enter

logger: logging.Logger = logging.getLogger("telex.commands")
CHECK_SECONDS = 5.0
"""The time between two searches for outcomes that were not published to followers."""


class OutcomeWatch:
    """The subscriptions to the outcomes and to the progress of commands, one of each name while a ticket waits."""

    def __init__(
        self, runtime: Runtime, inbox: ReplyInbox, find: Callable[[str, str], Awaitable[Outcome[Any] | None]]
    ) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self._find = find
        self._waiting: dict[str, WeakSet[PendingOutcome[Any]]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    async def begin(self, pending: PendingOutcome[Any]) -> None:
        """Follow a command until its outcome comes. It is followed when this method returns."""
        name = pending.command
        self._waiting.setdefault(name, WeakSet()).add(pending)
        if name in self._tasks:
            return
        work = [self._check(name)]
        for kind in ("outcome", "progress"):
            topic = self._runtime.topic(f"$command:{name}:{kind}")
            subscription = topic.subscribe(overflow="catch_up", report_lost=True)
            enter(subscription)
            work.append(self._follow(subscription))
        self._tasks[name] = [start_task(each, name=f"telex watches {name}") for each in work]

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
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for pending in list(self._waiting[name]):
                try:
                    outcome = None if pending.outcome else await self._find(name, pending.id)
                except EngineFailed as error:
                    logger.error("the outcome of command %s %s cannot be read yet: %s", name, pending.id, error)
                    continue
                if outcome is not None:
                    self._inbox.settle(outcome, None, decode=True)
                if pending.outcome is not None:
                    self._waiting[name].discard(pending)
            if not self._waiting[name]:
                break
        for task in self._tasks.pop(name)[1:]:
            task.cancel()

    async def close(self) -> None:
        """Stop following."""
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
