"""Consumer groups: the members of a group share a log, and each message goes to one of them at a time.

The rules, which every engine keeps:

1. A group takes from a topic or a pattern. ``(group, pattern)`` is its identity; it begins at the place that was given
   when it was first joined, and goes on from there for ever, whichever members join or leave.
2. `claim` leases messages to one member. Until its lease ends or it is settled, nobody else is given it.
3. Every claim of a message has a `Delivery.token` that is larger than that of its claim before; only the last token
   settles. Settling is idempotent: the first wins, and says so.
4. ``ack``: done, and never delivered again. ``nack``: delivered again after its delay. ``reject``: dead, kept aside
   with its reason until it is retried or dropped. ``extend``: the lease is renewed.
5. A lease that ends makes the message deliverable again, with the next `Delivery.attempt`.
6. Messages with the same `Message.key` (not None) are never leased at the same time, and are leased in the order of
   publishing: a later one waits until the earlier one is acked or dead.
7. Otherwise what is due again comes first, then what was never delivered, in the order of publishing.
8. What a group has not settled is kept for it, whatever the retention of the topic.
9. A paused group claims nothing; what it holds can be settled.
10. While a group rests, what was never delivered need not be kept for it. It rests until something is claimed, and goes
   on from where it was, with what is kept still. What was delivered and not settled is kept all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from typing import Self

    from telex.log.log import Log
    from telex.log.start import Start
    from telex.message import Message

Action = Literal["ack", "nack", "reject", "extend"]


class Unreadable(bytes):
    """The stored bytes of a message's content that cannot be decoded: the disk has damaged them. ``problem`` is what
    the decoder says."""

    def __new__(cls, data: bytes, problem: str) -> Self:
        unreadable = super().__new__(cls, data)
        unreadable.problem = problem
        return unreadable

    problem: str


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """A message that is leased to a member."""

    message: Message[Any]
    position: int
    """The place of the message in the group; with the token it names this delivery."""
    attempt: int
    """1 for the first, counted by claims."""
    token: int
    """The fence: only the last token settles."""
    lease_end: float
    """When the lease ends, by `Engine.now`."""


class Claimed(msgspec.Struct, frozen=True):
    """The result of `Groups.claim`."""

    deliveries: Sequence[Delivery]
    next_due: float | None
    """When, by `Engine.now`, something may be due that nothing will tell of: a delay or another member's lease
    ends. None: not before `EngineEvents.stirred` or a new message."""
    lag: int
    """Messages that are published and not settled, those in work among them."""
    unreadable: Sequence[Delivery] = ()
    """Leased as well, and their content is `Unreadable`: they become dead letters at once."""


class Settlement(msgspec.Struct, frozen=True):
    """The settlement of a delivery."""

    position: int
    token: int
    action: Action
    seconds: float = 0.0
    """The delay of a nack, or how long an extended lease lasts from now."""
    reason: str = ""
    """The reason of a rejection or another try: text for people."""


class GroupInfo(msgspec.Struct, frozen=True):
    """A group at one moment."""

    group: str
    pattern: str
    lag: int
    """Messages that are published and not settled."""
    leased: int
    """Messages of the lag that a member works on."""
    delayed: int
    """Messages of the lag that wait for their next try, or for an earlier message of their key."""
    dead: int
    """Dead letters that were neither retried nor dropped. They are not in the lag."""
    paused: bool


class DeadLetter(msgspec.Struct, frozen=True, eq=False):
    """A message that its group gave up."""

    group: str
    pattern: str
    position: int
    message: Message[Any]
    attempts: int
    reason: str
    died: float
    """When, seconds since 1970."""


class Groups(Protocol):
    """The consumer groups of an engine. ``now`` is `Engine.now` everywhere."""

    async def join(self, group: str, pattern: str, start: Start, log: Log) -> None:
        """A member comes. The first of a group ever creates it, beginning at ``start``; then ``start`` is of no
        account. ``log`` is the local log of the pattern, for engines that keep nothing else."""

    async def claim(self, group: str, pattern: str, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease at most ``limit`` messages for ``lease`` seconds. Does not wait for any to come. ``owner`` names the
        member, for people."""

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries; for each, whether it won. Returns when that is kept as `Guarantees.durable` says."""

    def check_outside(self) -> None:
        """Raise `Misuse` where the code that runs now is inside of a transaction of its own that `settle` would wait
        for (see `telex.engines.contract.store.inside`): it is settled in another task."""

    async def pause(self, group: str, pattern: str, paused: bool) -> bool:
        """Stop or resume claiming, in all processes. Whether there is such a group."""

    async def rest(self, group: str, pattern: str) -> bool:
        """Let a group rest that nobody may take from any more, until somebody does. Whether there is such a group."""

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group with all that it holds. Whether there was one."""

    async def groups(self) -> list[GroupInfo]:
        """All groups, sorted by name and pattern."""

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Dead letters, of one group or all, the oldest first."""

    async def revive(self, group: str, pattern: str, position: int, now: float) -> bool:
        """Deliver a dead letter again, with attempt 1. Whether there was one."""

    async def drop(self, group: str, pattern: str, position: int) -> bool:
        """Forget a dead letter. Whether there was one."""
