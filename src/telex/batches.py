"""`Batches`: what `Subscription.batches` iterates over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from telex.cursor import ENDED, FAR
from telex.errors import BadOption
from telex.wakeup import Seat

if TYPE_CHECKING:
    from typing import Self

    from telex.subscription import AnySubscription

Item = TypeVar("Item", covariant=True)


class Batches(Generic[Item]):
    """The iterator; not a generator, so that leaving its loop leaves nothing to be
    closed.
    """

    __slots__ = ("_limit", "_seat", "_subscription")

    def __init__(self, subscription: AnySubscription[Any, Item], limit: int) -> None:
        self._subscription = subscription
        self._limit = limit
        self._seat = Seat(asyncio.get_running_loop())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Item, ...]:
        subscription, seat = self._subscription, self._seat
        cursor = subscription._counted()
        log = cursor.log
        if subscription._closed:
            subscription._raise_if_failed(cursor)
            raise StopAsyncIteration
        while True:
            run: Any = cursor.take_run(self._limit)  # the kernel knows no Item
            if run is None:
                state = cursor.load()
                if state is ENDED:
                    subscription._raise_if_failed(cursor)
                    raise StopAsyncIteration
                if state is FAR:
                    await subscription._host.bring(cursor)
                    continue
                run = subscription._take_many(cursor, self._limit)
            if run:
                return run  # type: ignore[no-any-return]
            if seat.taken:
                raise BadOption(
                    "use of batches of", subscription.topic, "another task iterates them; call batches() once for each"
                )
            log.parked[seat] = None
            try:
                await seat
            except BaseException:
                log.parked.pop(seat, None)
                raise
