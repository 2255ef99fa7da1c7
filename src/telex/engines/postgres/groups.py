"""`ServerGroups`: the `telex.engines.Groups` of the schema.

The functions of `telex.engines.postgres.claiming` and `telex.engines.postgres.settling` decide about messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import Claimed, DeadLetter, Delivery, GroupInfo, Settlement, Unreadable
from telex.engines.postgres import sql
from telex.engines.postgres.arrays import BigintArray, FloatArray, TextArray
from telex.engines.postgres.catalogue import uid_of
from telex.engines.postgres.link import MovingMoment
from telex.errors import BadOption
from telex.log.start import ROUNDING, Start
from telex.message import Message, Position

if TYPE_CHECKING:
    from telex.engines.postgres.link import ServerLink
    from telex.log.log import Log

_TOPIC = itemgetter(0, 1)
"""Takes the name and the epoch of the topic from a row of a claim."""
ACTIONS = {"ack": 0, "nack": 1, "reject": 2, "extend": 3}
_DEAD = f"""SELECT g.name, g.pattern, c.pos, c.attempt, c.reason, c.died, t.name, t.epoch, {sql.OWN}
    FROM {{s}}.groups g JOIN {{s}}.claims c ON c.grp = g.id AND c.state = 2
    JOIN {{s}}.messages m ON m.pos = c.pos JOIN {{s}}.topics t ON t.id = m.topic
    WHERE %s::text IS NULL OR g.name = %s::text ORDER BY c.died, c.pos LIMIT %s::bigint"""


def settle_statement(schema: str) -> bytes:
    """Return the statement that settles deliveries. Its row has true for each won settlement, and true when there is
    more to claim.
    """
    call = f"{schema}.settle(%s, %s, %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::text[]"
    return f"SELECT * FROM {call}, %s::float8, %s::float8)".encode()


def settle_parameters(group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> tuple[object, ...]:
    """Return the parameters of `settle_statement`."""
    actions = seconds = reasons = None
    if any(one.action != "ack" for one in settlements):
        actions = BigintArray.of([ACTIONS[one.action] for one in settlements])
        seconds = FloatArray.of([one.seconds for one in settlements])
        reasons = TextArray.of([one.reason.replace("\0", "\ufffd") for one in settlements])
    positions = BigintArray.of([one.position for one in settlements])
    tokens = BigintArray.of([one.token for one in settlements])
    return (group, pattern, positions, tokens, actions, seconds, reasons, now, now)


class ServerGroups:
    """The consumer groups of the schema."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        schema = link.address.quoted
        self._schema = schema
        self._join = f"SELECT {schema}.join_group(%s, %s, %s::text, %s, %s::float8, %s::text, %s::float8)".encode()
        self._known = f"SELECT 1 FROM {schema}.groups g WHERE g.name = %s AND g.pattern = %s".encode()
        self._claim = f"SELECT * FROM {schema}.claim(%s, %s, %s::int, %s::float8, %s, %s::float8)".encode()
        self._settle = settle_statement(schema)
        self._dead = _DEAD.replace("{s}", schema).encode()
        self._list = f"SELECT * FROM {schema}.list_groups(%s::float8)".encode()

    async def join(self, group: str, pattern: str, start: Start, log: Log) -> None:
        """Create the group of a member if there is none."""
        what = f"joining group {group!r} on {pattern!r}"
        if await self._link.execute(what, self._known, group, pattern):
            return
        fits = sql.regular_expression(pattern)
        if isinstance(start, Position) and fits is not None:
            raise BadOption(
                "start",
                start,
                "a position belongs to one topic; for a pattern give a time, a number, 'new' or 'earliest'",
            )
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
        await self._link.execute(what, self._join, group, pattern, fits, kind, number, epoch, now)

    async def claim(self, group: str, pattern: str, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages. A claim that finds none writes nothing."""
        what = f"claiming for group {group!r} on {pattern!r}"
        head, *rows = await self._link.execute(
            what, self._claim, group, pattern, limit, lease, owner, MovingMoment(now)
        )
        deliveries: list[Delivery] = []
        unreadable: list[Delivery] = []
        expires = now + lease
        for (topic, epoch), run in groupby(rows, _TOPIC):
            found = list(run)
            messages = sql.decode([row[1:10] for row in found], topic, uid_of(epoch, topic), self._link.events.content)
            for message, row in zip(messages, found, strict=True):
                delivery = Delivery(message, row[10], row[11], row[12], expires)
                (unreadable if message.content.__class__ is Unreadable else deliveries).append(delivery)
        return Claimed(deliveries, head[4], head[2], tuple(unreadable))

    def _message(self, topic: str, epoch: str, own: tuple[Any, ...]) -> Message[Any]:
        return sql.decode([(0, *own)], topic, uid_of(epoch, topic), self._link.events.content)[0]

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries, in one transaction."""
        if not settlements:
            return []
        what = f"settling for group {group!r} on {pattern!r}"
        parameters = settle_parameters(group, pattern, settlements, MovingMoment(now))
        ((won, stirs),) = await self._link.execute(what, self._settle, *parameters, repeat=False)
        if stirs:
            self._link.events.stirred(pattern)
        found: list[bool] = won
        return found

    def check_outside(self) -> None:
        """Do nothing: settling waits for no transaction of a program."""

    async def _change(self, what: str, call: str, *parameters: object) -> bool:
        statement = f"SELECT {self._schema}.{call}".encode()
        ((changed,),) = await self._link.execute(what, statement, *parameters, repeat=False)
        return bool(changed)

    async def pause(self, group: str, pattern: str, paused: bool) -> bool:
        """Stop or resume claiming."""
        found = await self._change(f"pausing group {group!r}", "pause_group(%s, %s, %s)", group, pattern, paused)
        if found and not paused:
            self._link.events.stirred(pattern)
        return found

    async def rest(self, group: str, pattern: str) -> bool:
        """Let a group rest: topics keep no unclaimed messages for it."""
        statement = f"UPDATE {self._schema}.groups SET rests = true WHERE name = %s AND pattern = %s RETURNING 1"
        return bool(await self._link.execute(f"resting group {group!r}", statement.encode(), group, pattern))

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group."""
        return await self._change(f"forgetting group {group!r}", "forget_group(%s, %s)", group, pattern)

    async def groups(self) -> list[GroupInfo]:
        """Return all groups."""
        rows = await self._link.execute("listing groups", self._list, self._link.clock.now())
        return [GroupInfo(*row) for row in rows]

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Return dead letters, the oldest first."""
        rows = await self._link.execute("listing dead letters", self._dead, group, group, limit)
        return [
            DeadLetter(name, pattern, pos, self._message(topic, epoch, tuple(own)), attempt, reason or "", died)
            for name, pattern, pos, attempt, reason, died, topic, epoch, *own in rows
        ]

    async def revive(self, group: str, pattern: str, position: int, now: float) -> bool:
        """Deliver a dead letter again."""
        what = f"retrying a dead letter of group {group!r}"
        revived = await self._change(what, "revive(%s, %s, %s::bigint)", group, pattern, position)
        if revived:
            self._link.events.stirred(pattern)
        return revived

    async def drop(self, group: str, pattern: str, position: int) -> bool:
        """Delete a dead letter."""
        what = f"dropping a dead letter of group {group!r}"
        return await self._change(what, "drop_dead(%s, %s, %s::bigint)", group, pattern, position)
