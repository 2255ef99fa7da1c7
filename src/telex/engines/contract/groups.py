"""Consumer groups: the members of a group share a log, and each message goes to one of them at a time.

The rules, which every engine keeps:

1. A group takes from a topic or a pattern. ``(group, pattern)`` is its identity. It begins at the start of its first
   `join`, and keeps its position, whichever members join or leave.
2. `fetch` leases messages to one member. No other member gets a message until it is settled or its lease ends.
3. Every lease of a message has a larger `Delivery.token` than the lease before. Only the last token settles the
   message. Of several settlements the first wins, and `settle` returns which settlements won.
4. ``ack``: the message is never delivered again. ``nack``: it is delivered again after its delay. ``release``: the
   same, but the lease does not count as an attempt: the next lease has the same `Delivery.attempt`. ``reject``: it
   becomes a dead letter, and is kept with its reason. ``extend``: its lease is renewed. Two actions are for dead
   letters, whose last token is 0: ``retry`` delivers the message again, with attempt 1, and ``drop`` deletes it.
5. After its lease ends a message is delivered again, with the next `Delivery.attempt`.
6. Messages with the same `Message.key` (not None) are never leased at the same time, and are leased in the order of
   publishing: a later message waits until the earlier one is acked or dead.
7. Without keys, redeliveries that are due come first, then messages of attempt 1 in the order of publishing.
8. Messages that a group has not settled are kept for it, whatever the retention of the topic.
9. A paused group leases nothing; its leased messages can be settled.
10. While a group rests, new messages need not be kept for it; its delivered and unsettled messages are kept. The rest
    ends at the next fetch, which continues at the group's position with the messages that are still kept.
11. `seek` moves a group to another start. Leased messages keep their tokens, and dead letters stay.
12. The engine measures leases and delays by one clock, which all members share and nobody sets. Members pass no times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from typing import Self

    from telex.log.log import Log
    from telex.log.start import Start
    from telex.message import Message

Action = Literal["ack", "nack", "release", "reject", "extend", "retry", "drop"]
DEAD_LETTER_ACTIONS = ("retry", "drop")
Change = Literal["pause", "resume", "rest", "forget"]


class Unreadable(bytes):
    """The stored bytes of a message's content that is damaged and cannot be decoded. ``problem`` is the decoder's
    error.
    """

    def __new__(cls, data: bytes, problem: str) -> Self:
        unreadable = super().__new__(cls, data)
        unreadable.problem = problem
        return unreadable

    problem: str


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """A message that is leased to a member."""

    message: Message[Any]
    position: int
    """The place of the message in the group. Together with the token it identifies this delivery."""
    attempt: int
    """The number of this attempt, from 1, counted by leases that were not released."""
    token: int
    """The fencing token: only the last token of a message settles it."""


class Fetched(msgspec.Struct, frozen=True):
    """The result of `Groups.fetch`."""

    deliveries: Sequence[Delivery]
    lag: int
    """The number of messages that are published and not settled, including leased ones."""
    unreadable: Sequence[Delivery] = ()
    """Leased deliveries whose content is `Unreadable`: they become dead letters at once."""
    waited: bool = False
    """True when the fetch had to wait for messages."""


class Settlement(msgspec.Struct, frozen=True):
    """The settlement of a delivery, or of a dead letter."""

    position: int
    token: int
    action: Action
    seconds: float = 0.0
    """The delay of a nack or a release, or the length of an extended lease from now."""
    reason: str = ""
    """The reason of a reject or a nack, as text for people."""


class GroupInfo(msgspec.Struct, frozen=True):
    """The state of a group at one moment."""

    group: str
    pattern: str
    lag: int
    """The number of messages that are published and not settled."""
    leased: int
    """The number of messages of the lag that are leased to a member."""
    delayed: int
    """The number of messages of the lag that wait for a retry, or for an earlier message of their key."""
    dead: int
    """The number of dead letters that were neither retried nor dropped. The lag does not include them."""
    paused: bool


class DeadLetter(msgspec.Struct, frozen=True, eq=False):
    """A message that failed its last attempt, or was rejected."""

    group: str
    pattern: str
    position: int
    message: Message[Any]
    attempts: int
    reason: str
    died: float
    """The time at which it became a dead letter, in seconds since 1970."""


class Groups(Protocol):
    """The consumer groups of an engine."""

    async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
        """Add a member to a group. The first member ever creates the group, which begins at ``start``; later calls
        ignore ``start``. ``log`` returns the local log of the pattern: only an engine without a store calls it, and
        takes the messages from there.
        """

    async def fetch(self, group: str, pattern: str, limit: int, lease: float, owner: str, wait: float) -> Fetched:
        """Lease at most ``limit`` messages for ``lease`` seconds, and wait at most ``wait`` seconds for the first.

        Return as soon as any message is leased, or without messages when the time is over, not before. ``owner`` names
        the member, for people. Cancelled, it leaves nothing leased. Raises `EngineFailed`, `Closed`.
        """

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Settle deliveries, or a single dead letter. Return for each whether its settlement won, once this is stored
        as `Guarantees.durable` promises.
        """

    async def seek(self, group: str, pattern: str, start: Start) -> bool:
        """Move a group to another start: `fetch` continues there, in all processes. Return false when there is no such
        group. Raises `BadOption` for a `Position` with a pattern.

        Deliveries that wait, for a retry or for their key, are discarded; the log may have their messages after the new
        start. Leased deliveries keep their tokens, and dead letters stay. When the new start is before its message, a
        delivery is not leased a second time before it is settled, and a dead letter not at all.
        """

    async def change(self, group: str, pattern: str, change: Change) -> bool:
        """Change a group in all processes. Return false when there is no such group.

        ``pause`` stops fetching, and ``resume`` lets it go on. ``rest`` lets a group rest that has no members any more:
        topics keep no messages for it until the next fetch. ``forget`` removes a group with its deliveries and dead
        letters.
        """

    async def groups(self) -> list[GroupInfo]:
        """Return all groups, sorted by name and pattern."""

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Return dead letters, of one group or all, the oldest first."""
