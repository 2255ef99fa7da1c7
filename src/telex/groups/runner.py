"""`GroupRunner`: the consumers of a hub, while it is open."""

from __future__ import annotations

from telex.engines.contract.groups import Delivery
from telex.errors import BadOption
from telex.groups.consumer import GroupConsumer
from telex.handlers.origins import Origins
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.limits.gate import Gate
from telex.limits.limit import LimitSpec
from telex.limits.registry import LimitRegistry
from telex.names import CONNECTION
from telex.runtime import Runtime


class GroupRunner:
    """All consumers of a hub. ``declarations`` are the handlers that the hub has declared."""

    def __init__(self, runtime: Runtime, origins: Origins, declarations: list[HandlerSpec]) -> None:
        self.declarations = declarations
        self.consumers: list[GroupConsumer] = []
        self.limits: LimitRegistry = LimitRegistry(runtime)
        """The limits of handlers and commands."""
        self._runtime = runtime
        self._origins = origins
        self._typed: dict[tuple[str, str], GroupConsumer] = {}  # consumers with typed handlers, by group and pattern

    def check(self, spec: HandlerSpec) -> None:
        """Raise `BadOption` for a handler of a group that conflicts with another declared handler, `Misuse` on an
        engine without groups.
        """
        if spec.group is None:
            return
        group = spec.group.name
        if CONNECTION in spec.patterns:
            raise BadOption("group", group, f"{CONNECTION} is a topic of one process; leave out group=")
        self._runtime.groups("groups")
        if spec.limit is not None:
            self.limits.check(spec.limit)
        if spec.group.tx:
            self._runtime.require("tx=True", "transactions", "fenced_settle")
        for other in self.declarations:
            if other.group is None or other.group.name != group:
                continue
            both = set(spec.types) & set(other.types) if set(spec.patterns) & set(other.patterns) else ()
            for cls in both:
                what = f"{other.name} takes {cls.__name__} in group {group!r} already"
                raise BadOption(
                    "type", cls, f"{what}, and each message goes to one handler; give another type or group"
                )

    def add(self, spec: HandlerSpec, gate: Gate[Delivery] | None = None) -> None:
        """Start a handler that was declared with a group, if the hub is open. ``gate`` is for a handler whose calls
        wait for a limit themselves.
        """
        if spec.group is not None and self._runtime.serves:
            for pattern in spec.patterns:
                own = gate if spec.limit is None else self._gate(spec, spec.limit, spec.group)
                self._consumer(spec, spec.group, pattern).add(spec, spec.group, own)

    def _gate(self, spec: HandlerSpec, limit: LimitSpec, group: GroupSpec) -> Gate[Delivery]:
        return self.limits.gate(limit, spec.concurrency, group.lease, bounded=True, shared=bool(spec.types))

    def _consumer(self, spec: HandlerSpec, group: GroupSpec, pattern: str) -> GroupConsumer:
        consumer = self._typed.get((group.name, pattern)) if spec.types else None
        if consumer is None:
            consumer = GroupConsumer(group, pattern, self._runtime, self._origins, typed=bool(spec.types))
            self.consumers.append(consumer)
            if spec.types:
                self._typed[group.name, pattern] = consumer
        return consumer

    async def retire(self, spec: HandlerSpec) -> None:
        """Remove a handler without types from its group. Return when its running deliveries are settled."""
        self.declarations[:] = [each for each in self.declarations if each is not spec]
        for consumer in [each for each in self.consumers if each.executors[0].spec is spec]:
            await consumer.leave()
            if consumer in self.consumers:  # `retire` may be called twice
                self.consumers.remove(consumer)

    def served(self) -> set[tuple[str, str]]:
        """Return the groups from which consumers of this hub take, each with its pattern."""
        return {consumer.takes_from for consumer in self.consumers}

    def consumer(self, group: str, pattern: str) -> GroupConsumer:
        """Return the first consumer of a group on a pattern."""
        return next(each for each in self.consumers if each.takes_from == (group, pattern))

    # -- closing

    def drain(self) -> None:
        """Stop fetching, and return the deliveries that no call has begun to their groups."""
        for consumer in self.consumers:
            consumer.drain()
        self.limits.drain()

    @property
    def idle(self) -> bool:
        """True when every delivery is settled."""
        return all(consumer.leased.idle for consumer in self.consumers)

    @property
    def unfinished(self) -> int:
        """The number of deliveries that are not settled."""
        return sum(len(consumer.leased.by_token) for consumer in self.consumers)

    async def finish(self) -> None:
        """Return every unsettled delivery to its group. Called after the calls have ended."""
        for consumer in self.consumers:
            await consumer.finish()
        await self.limits.close()

    # -- statistics

    @property
    def unhandled(self) -> int:
        """The number of messages that no typed handler of their group took."""
        return sum(consumer.unhandled for consumer in self.consumers)

    def statistics(self) -> tuple[HandlerStatistics, ...]:
        """Return the counts of every handler of a group, in the order of declaration."""
        return tuple(statistics for consumer in self.consumers for statistics in consumer.statistics())
