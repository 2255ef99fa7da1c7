"""Publishers that wait for room: the asynchronous side of ``overflow="block"`` and ``overflow="fail"``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from telex.errors import BufferFull, Closed, Timeout, WouldBlock

if TYPE_CHECKING:
    from telex.log.log import Log, LogReader


def first_full(logs: Sequence[Log], size: int) -> LogReader | None:
    """Return the first subscriber of these logs that has no room for a message of ``size`` bytes.

    Raises `BufferFull` when any of them fails its publishers: then no subscriber may get the message.
    """
    full = None
    for log in logs:
        for cursor in log.blocking_cursors:
            if cursor.is_full(size):
                if cursor.options.overflow == "fail":
                    raise BufferFull(log.name, cursor.options.buffer)
                full = full or cursor
    return full


class PublishQueue:
    """The queue of publishers of one topic, first come first served.

    Invariant: only the first publisher of the queue checks for room, so publishers continue in the order of their
    calls.
    """

    __slots__ = ("_closed", "_queue")

    def __init__(self) -> None:
        self._closed: Closed | None = None
        self._queue: deque[PublishSlot] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def pass_nowait(self, logs: Sequence[Log], size: int) -> None:
        """Raise `WouldBlock` when a publisher would have to wait, `BufferFull` as `first_full` does."""
        full = first_full(logs, size)
        if self._queue or full is not None:
            where = logs[0].name if full is None else full.log.name
            raise WouldBlock(f"a subscriber to {where!r} with overflow='block' has no room")

    async def wait(
        self, logs: Callable[[], Sequence[Log]], size: int, timeout: float | None, stored: Callable[[], bool]
    ) -> PublishSlot:
        """Wait until this publisher is first in the queue, and until all logs of ``logs`` have room for ``size`` bytes,
        at most ``timeout`` seconds. No room is needed when the message is ``stored``: an earlier publisher of the queue
        had the same id.

        The caller publishes and then leaves the `PublishSlot`, without awaiting in between. A subscriber that has no
        room during its whole ``block_timeout`` is closed as slow. Raises `Timeout`; `BufferFull` as `first_full`. A
        cancelled or timed-out call leaves the queue.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        slot = PublishSlot(self)
        self._queue.append(slot)
        try:
            patience: dict[LogReader, tuple[int, float]] = {}
            while True:
                if self._closed is not None:
                    raise Closed(*self._closed.args)
                if self._queue[0] is slot:
                    full = None if stored() else first_full(logs(), size)
                    if full is None:
                        return slot
                    taken, give_up = patience.get(full, (-1, 0.0))
                    if taken != full.received:  # the subscriber made room, and a publisher of another topic took it
                        give_up = loop.time() + _patience(full, size)
                        patience[full] = full.received, give_up
                    if loop.time() >= give_up:
                        full.end("slow", slow=True)
                        continue
                    await self._watch(slot, full, _earlier(give_up, deadline))
                else:
                    await slot.wait(deadline)
                if deadline is not None and loop.time() >= deadline:
                    raise Timeout(f"publishing to {logs()[0].name!r}", timeout or 0.0)
        except BaseException:
            self.leave(slot)
            raise

    async def _watch(self, slot: PublishSlot, full: LogReader, until: float) -> None:
        blocked = full.log.observer.blocked
        blocked[slot] = None
        try:
            await slot.wait(until)
        finally:
            blocked.pop(slot, None)

    def close(self, closed: Closed) -> None:
        """Raise ``closed`` in all waiting publishers: the topic takes no more messages."""
        self._closed = closed
        for slot in self._queue:
            slot.wake()

    def leave(self, slot: PublishSlot) -> None:
        """Remove a publisher, and let the next one check for room."""
        head = self._queue[0] is slot
        self._queue.remove(slot)
        if head and self._queue:
            self._queue[0].wake()


class PublishSlot:
    """The place of one publisher in the queue. Leaving the slot, as a context manager, lets the next publisher try."""

    __slots__ = ("_future", "_queue")

    def __init__(self, queue: PublishQueue) -> None:
        self._queue = queue
        self._future: asyncio.Future[None] | None = None

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        self._queue.leave(self)

    async def wait(self, until: float | None) -> None:
        """Wait until `wake`, or until the time ``until`` of the loop's clock."""
        loop = asyncio.get_running_loop()
        self._future = future = loop.create_future()
        timer = None if until is None else loop.call_at(until, wake, future)
        try:
            await future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """End the wait, if there is one."""
        if self._future is not None:
            wake(self._future)


def wake(future: asyncio.Future[None]) -> None:
    """Set the result of a future, unless it is done."""
    if not future.done():
        future.set_result(None)


def _patience(cursor: LogReader, size: int) -> float:
    # A message that is larger than the whole buffer never fits, so its publisher does not wait.
    bound = cursor.options.buffer_bytes
    return 0.0 if bound is not None and size > bound else cursor.options.block_timeout


def _earlier(one: float, other: float | None) -> float:
    return one if other is None else min(one, other)
