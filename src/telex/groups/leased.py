"""`LeasedDeliveries`: settles the deliveries that are leased to one consumer, and renews their leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from telex.engines.contract.groups import Action, Delivery
from telex.engines.contract.store import inside
from telex.errors import Misuse
from telex.groups.acks import AckBatcher
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from telex.handlers.origins import Origins
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
_OWN = (
    "this call is inside of a transaction, and would wait for the end of the transaction; call it after the `async "
    "with` block"
)


class LeasedDeliveries:
    """The deliveries of one consumer, by token, until they are settled.

    ``moved`` is called when there may be fewer deliveries, ``lost`` with each delivery whose lease was lost, ``late``
    with each delivery that was settled after its lease was lost.
    """

    def __init__(
        self,
        group: str,
        pattern: str,
        runtime: Runtime,
        origins: Origins,
        moved: Callable[[], None],
        lost: Callable[[Delivery], None],
        late: Callable[[Delivery], None],
    ) -> None:
        self.group: str = group
        self.pattern: str = pattern
        self.by_token: dict[int, Delivery] = {}
        self.lease_seconds: float = 0.0
        self.lag: int = 0
        """The number of messages that are published and not settled, as of the last fetch and settlement here."""
        self.closing: bool = False
        """True when the consumer fetches no more, and no call begins."""
        self.renewing: bool = False
        self.moved: Callable[[], None] = moved
        self._lost = lost
        self._late = late
        self.runtime: Runtime = runtime
        self.origins: Origins = origins
        self._groups = runtime.groups("groups")
        self.acks: AckBatcher = AckBatcher(self._groups, group, pattern, moved, late)
        self._leased_at = 0.0  # the time of the loop before which no lease of these deliveries was begun or renewed
        self._extended: dict[int, float] = {}  # by token: the ends of leases that a handler has extended
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """True when every delivery is settled, and the engine has stored all settlements."""
        return not self.by_token and not self.acks.pending

    @property
    def is_certain(self) -> bool:
        """True while no lease can have ended: each was begun or renewed less than a lease ago."""
        return asyncio.get_running_loop().time() < self._leased_at + self.lease_seconds

    def begin_renewing(self) -> None:
        """Renew the leases from now on, as long as there are deliveries."""
        self.renewing = True
        loop = asyncio.get_running_loop()
        self._leased_at = loop.time()
        self._timer = loop.call_later(self.lease_seconds / 2, self._begin_renewer)

    def _begin_renewer(self) -> None:
        if self.by_token and not self.runtime.ends:
            self.runtime.own(start_task(self._keep_leases(), name=f"telex leases {self.group}"))
        else:
            self.renewing = False

    async def _keep_leases(self) -> None:
        try:
            await keep_doing(f"renewing the leases of group {self.group}", self._keep_renewing)
        finally:
            self.renewing = False

    async def _keep_renewing(self) -> None:
        while self.by_token:
            await self.renew()
            await asyncio.sleep(self.lease_seconds / 2)

    async def renew(self) -> None:
        """Renew the leases of all deliveries once. Deliveries whose renewal did not win are lost."""
        now = asyncio.get_running_loop().time()
        enough = now + self.lease_seconds
        held = [d for d in self.by_token.values() if self._extended.get(d.token, 0.0) < enough]
        asked = [(delivery, self.acks.ask(delivery, "extend", self.lease_seconds)) for delivery in held]
        if not asked:
            return
        await asyncio.wait([answer for _, answer in asked])
        if all(answer.exception() is None for _, answer in asked):
            self._leased_at = now
        for delivery, answer in asked:
            # After an error of the engine a lease may be renewed all the same, and a delivery may be settled by now.
            if answer.exception() is None and not answer.result() and delivery.token in self.by_token:
                self._remove(delivery, "nack")
                self._lost(delivery)
                self.moved()

    # -- settling

    def settle(self, delivery: Delivery, action: Action, delay: float = 0.0, reason: str = "") -> None:
        """Settle a delivery without waiting for the engine."""
        held = self._remove(delivery, action)
        self.acks.put(delivery, action, delay, reason, held=held)

    def forget(self, delivery: Delivery) -> None:
        """Remove a delivery that a transaction has settled, or whose lease is lost."""
        self._remove(delivery, "ack")

    async def ask(self, delivery: Delivery, action: Action, delay: float, reason: str) -> bool:
        """Settle a delivery, and wait. Return true when the settlement won. Raises the exceptions of the engine."""
        held = self._remove(delivery, action)
        won = await self.acks.ask(delivery, action, delay, reason)
        if held and not won:
            self._late(delivery)
        return won

    async def extend(self, delivery: Delivery, duration: float) -> bool:
        """Lease a delivery for ``duration`` seconds from now. Return true when it was still leased."""
        token = delivery.token
        if token in self.by_token:  # before the engine has answered: a renewal meanwhile would cut the lease short
            self._extended[token] = asyncio.get_running_loop().time() + duration
        try:
            return await self.acks.ask(delivery, "extend", duration)
        except BaseException:
            self._extended.pop(token, None)  # it is renewed again
            raise

    def give_back(self, delivery: Delivery, *, begun: bool = False) -> None:
        """Return a delivery to the group, so that another consumer gets it. It counts as an attempt if a call has
        begun.
        """
        self._remove(delivery, "nack")
        action: Action = "nack" if begun else "release"
        self.acks.put(delivery, action, 0.0, "the consumer that had it was closed", held=False)

    def release(self, delivery: Delivery, delay: float) -> None:
        """Return a delivery to the group, which delivers it again after ``delay`` seconds."""
        self._remove(delivery, "nack")
        self.acks.put(delivery, "release", delay, "", held=False)

    def check_outside(self) -> None:
        """Raise `Misuse` inside of a transaction for which settling would wait."""
        for entered in inside.get():
            if entered.transaction.blocks is self._groups and entered.is_own():
                raise Misuse(f"settle a message of group {self.group!r} here", _OWN)

    def _remove(self, delivery: Delivery, action: Action) -> bool:
        """Remove a delivery. Return false when it was removed before: it was settled, or its lease was lost."""
        found = self.by_token.pop(delivery.token, None)
        if action != "nack":
            self.lag -= found is not None
            if self.origins.known:
                self.origins.done(delivery.message)
        if self._extended:
            self._extended.pop(delivery.token, None)
        return found is not None

    async def finish(self) -> None:
        """Return every delivery to the group, and wait until the engine has stored all settlements."""
        if self._timer is not None:
            self._timer.cancel()
        for delivery in list(self.by_token.values()):
            self.give_back(delivery, begun=True)
        await self.acks.finish()
