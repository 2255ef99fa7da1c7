"""`PublishedOutcomes`: the outcomes that the topic of a command has."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

from telex.engines.contract.store import Store
from telex.log.start import Start
from telex.message import Lost, Message, Position, time_of
from telex.runtime import Runtime
from telex.topics.topic import publisher_of

MAX_OUTCOMES = 10_000
"""The largest number of published outcomes of one command that are searched: the newest."""
NO_END = 2**62
"""A number after every message: this process may not know the end of a topic that it has neither read nor written."""
SKEW_SECONDS = 60.0
"""The time by which an outcome may seem older than its command, since clocks of machines differ."""


def outcome_id(message: Message[Any]) -> str:
    """Return the id of the message with the outcome of a command. It does not depend on the attempt: two workers that
    publish an outcome at nearly the same time publish one message.
    """
    return f"{message.id}-outcome"


class PublishedOutcomes:
    """The published outcomes of one command, for a worker that gets a command again. Every search reads on from the
    search before.
    """

    def __init__(self, runtime: Runtime, store: Store, name: str, most: int = MAX_OUTCOMES) -> None:
        self._store = store
        self._publisher = publisher_of(runtime.topic(f"$command:{name}:outcome"))
        self._most = most
        self._start: Start = most
        self._numbers: dict[str, int] = {}  # by the id of the message, the oldest first
        self._reading = asyncio.Lock()

    async def find(self, message: Message[Any]) -> Message[Any] | None:
        """Return the message with the outcome of a command, or None when none is kept. Raises `EngineFailed`."""
        async with self._reading:
            await self._read_on()
        number = self._numbers.get(outcome_id(message))
        if number is None:
            return None
        for found in await self._store.read(self._publisher.id, number, number + 1):
            # The key of a command may be its id. Then an older command may have had this id.
            if not isinstance(found, Lost) and time_of(found) >= time_of(message) - SKEW_SECONDS:
                return found
        return None

    async def _read_on(self) -> None:
        topic, epoch = self._publisher.id, self._publisher.log.epoch
        first, lost, _ = await self._store.find(topic, self._start, time())
        if lost is not None and lost.reason == "epoch":
            self._numbers.clear()
        while page := await self._store.read(topic, first, NO_END):
            for item in page:
                if not isinstance(item, Lost):
                    self._numbers[item.id] = item.seq
            last = page[-1]
            first = 1 + (last.last if isinstance(last, Lost) else last.seq)
            self._start = Position(first - 1, epoch)
        for id in list(self._numbers)[: -self._most]:
            del self._numbers[id]
