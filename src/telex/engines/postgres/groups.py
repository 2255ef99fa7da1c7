"""`ServerGroups`: the `telex.engines.Groups` of the schema.

The functions of `telex.engines.postgres.claiming` and `telex.engines.postgres.settling` decide about messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import (
    DEAD_LETTER_ACTIONS,
    Change,
    DeadLetter,
    Delivery,
    Fetched,
    GroupInfo,
    Settlement,
    Unreadable,
)
from telex.engines.fetching import Attempt
from telex.engines.postgres import sql
from telex.engines.postgres.arrays import BigintArray, FloatArray, TextArray
from telex.engines.postgres.catalogue import uid_of
from telex.log.start import ROUNDING, Start, check_seek
from telex.message import Message, Position

if TYPE_CHECKING:
    from telex.engines.postgres.link import ServerLink
    from telex.log.log import Log

_TOPIC = itemgetter(0, 1)
"""Takes the name and the epoch of the topic from a row of a claim."""
ACTIONS = {"ack": 0, "nack": 1, "reject": 2, "extend": 3, "release": 4}
_CHANGES: dict[Change, str] = {
    "pause": "pause_group(%s, %s, true)",
    "resume": "pause_group(%s, %s, false)",
    "rest": "rest_group(%s, %s)",
    "forget": "forget_group(%s, %s)",
}
_DEAD = f"""SELECT g.name, g.pattern, c.pos, c.attempt, c.reason, c.died, t.name, t.epoch, {sql.OWN}
    FROM {{s}}.groups g JOIN {{s}}.claims c ON c.grp = g.id AND c.state = 2
    JOIN {{s}}.messages m ON m.pos = c.pos JOIN {{s}}.topics t ON t.id = m.topic
    WHERE %s::text IS NULL OR g.name = %s::text ORDER BY c.died, c.pos LIMIT %s::bigint"""


def settle_statement(schema: str) -> bytes:
    """Return the statement that settles deliveries. Its row has true for each won settlement, and true when there is
    more to claim.
    """
    call = f"{schema}.settle(%s, %s, %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::text[]"
    return f"SELECT * FROM {call})".encode()


def settle_parameters(group: str, pattern: str, settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """Return the parameters of `settle_statement`."""
    actions = seconds = reasons = None
    if any(one.action != "ack" for one in settlements):
        actions = BigintArray.of([ACTIONS[one.action] for one in settlements])
        seconds = FloatArray.of([one.seconds for one in settlements])
        reasons = TextArray.of([one.reason.replace("\0", "\ufffd") for one in settlements])
    positions = BigintArray.of([one.position for one in settlements])
    tokens = BigintArray.of([one.token for one in settlements])
    return (group, pattern, positions, tokens, actions, seconds, reasons)


class ServerGroups:
    """The consumer groups of the schema."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        schema = link.address.quoted
        self._schema = schema
        self._join = f"SELECT {schema}.join_group(%s, %s, %s::text, %s, %s::float8, %s::text, %s::float8)".encode()
        self._known = f"SELECT 1 FROM {schema}.groups g WHERE g.name = %s AND g.pattern = %s".encode()
        self._claim = f"SELECT * FROM {schema}.claim(%s, %s, %s::int, %s::float8, %s)".encode()
        self._settle = settle_statement(schema)
        self._dead = _DEAD.replace("{s}", schema).encode()
        self._list = f"SELECT * FROM {schema}.list_groups()".encode()

    async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
        """Create the group of a member if there is none."""
        what = f"joining group {group!r} on {pattern!r}"
        if await self._link.execute(what, self._known, group, pattern):
            return
        await self._link.execute(what, self._join, group, pattern, *self._placed(pattern, start))

    async def seek(self, group: str, pattern: str, start: Start) -> bool:
        """Move a group to another start."""
        call = "seek_group(%s, %s, %s::text, %s, %s::float8, %s::text, %s::float8)"
        what = f"moving group {group!r} on {pattern!r}"
        found = await self._change(what, call, group, pattern, *self._placed(pattern, start))
        self._link.fetches.stir(pattern)
        return found

    def _placed(self, pattern: str, start: Start) -> tuple[object, ...]:
        """Return the parameters of ``join_group`` after the name and the pattern."""
        check_seek(pattern, start)
        now, number, epoch = self._link.clock.now(), 0.0, None
        if isinstance(start, Position):
            kind, number, epoch = "position", float(start.seq), start.epoch
        elif isinstance(start, datetime):
            kind, number = "time", start.timestamp() - ROUNDING
        elif isinstance(start, timedelta):
            kind, number = "time", now - start.total_seconds()
        elif isinstance(start, int):
            kind, number = "back", float(start)
        else:
            kind = start
        return sql.regular_expression(pattern), kind, number, epoch, now

    async def fetch(self, group: str, pattern: str, limit: int, lease: float, owner: str, wait: float) -> Fetched:
        """Lease messages."""

        async def attempt(is_published: bool) -> Attempt:
            return await self._lease(group, pattern, limit, lease, owner)

        async def release(given: Sequence[Delivery]) -> None:
            await self.settle(group, pattern, [Settlement(each.position, each.token, "release") for each in given])

        return await self._link.fetches.fetch(pattern, wait, attempt, release)

    async def _lease(self, group: str, pattern: str, limit: int, lease: float, owner: str) -> Attempt:
        """Lease messages. An attempt that finds none writes nothing."""
        what = f"fetching for group {group!r} on {pattern!r}"
        head, *rows = await self._link.execute(what, self._claim, group, pattern, limit, lease, owner)
        deliveries: list[Delivery] = []
        unreadable: list[Delivery] = []
        for (topic, epoch), run in groupby(rows, _TOPIC):
            found = list(run)
            messages = sql.decode([row[1:10] for row in found], topic, uid_of(epoch, topic), self._link.decoder.decode)
            for message, row in zip(messages, found, strict=True):
                delivery = Delivery(message, row[10], row[11], row[12])
                (unreadable if message.content.__class__ is Unreadable else deliveries).append(delivery)
        return Attempt(Fetched(deliveries, head[2], unreadable), head[4])

    def _message(self, topic: str, epoch: str, own: tuple[Any, ...]) -> Message[Any]:
        return sql.decode([(0, *own)], topic, uid_of(epoch, topic), self._link.decoder.decode)[0]

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Settle deliveries, or a dead letter, in one transaction."""
        if not settlements:
            return []
        if settlements[0].action in DEAD_LETTER_ACTIONS:
            return [await self._resolve(group, pattern, settlements[0])]
        what = f"settling for group {group!r} on {pattern!r}"
        parameters = settle_parameters(group, pattern, settlements)
        ((won, stirs),) = await self._link.execute(what, self._settle, *parameters, repeat=False)
        if stirs:
            self._link.fetches.stir(pattern)
        found: list[bool] = won
        return found

    async def change(self, group: str, pattern: str, change: Change) -> bool:
        """Change a group. For a group that rests, topics keep no messages that it has not leased."""
        found = await self._change(f"changing group {group!r} ({change})", _CHANGES[change], group, pattern)
        if change == "resume":
            self._link.fetches.stir(pattern)
        return found

    async def _change(self, what: str, call: str, *parameters: object) -> bool:
        statement = f"SELECT {self._schema}.{call}".encode()
        ((changed,),) = await self._link.execute(what, statement, *parameters, repeat=False)
        return bool(changed)

    async def groups(self) -> list[GroupInfo]:
        """Return all groups."""
        rows = await self._link.execute("listing groups", self._list)
        return [GroupInfo(*row) for row in rows]

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Return dead letters, the oldest first."""
        rows = await self._link.execute("listing dead letters", self._dead, group, group, limit)
        return [
            DeadLetter(name, pattern, pos, self._message(topic, epoch, tuple(own)), attempt, reason or "", died)
            for name, pattern, pos, attempt, reason, died, topic, epoch, *own in rows
        ]

    async def _resolve(self, group: str, pattern: str, letter: Settlement) -> bool:
        again = letter.action == "retry"
        call = "revive(%s, %s, %s::bigint)" if again else "drop_dead(%s, %s, %s::bigint)"
        found = await self._change(f"settling a dead letter of group {group!r}", call, group, pattern, letter.position)
        if again:
            self._link.fetches.stir(pattern)
        return found
