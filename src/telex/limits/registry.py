"""`LimitRegistry`: the limits of a hub, by name."""

from __future__ import annotations

import logging
from typing import Any

from telex.errors import BadOption, TelexError
from telex.limits.gate import Gate
from telex.limits.holders import Holder
from telex.limits.limit import LimitSpec
from telex.limits.limiter import Limiter
from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")


class LimitRegistry:
    """The limits of a hub. Handlers and commands whose limits have the same name share a `Limiter`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._limiters: dict[str, Limiter] = {}
        self._gates: list[Gate[Any]] = []  # whose calls come again after they have left
        self._holder = Holder(runtime, self._late)

    def check(self, spec: LimitSpec) -> None:
        """Raise `BadOption` for a limit that differs from another one of its name, `Misuse` on an engine without
        records.
        """
        self._runtime.records("limit=")
        known = self._limiters.get(spec.name)
        if known is not None and known.rule != spec.rule:
            raise BadOption("limit", spec.rule, f"another limit is {spec.name!r}: limits of one name must be equal")
        if known is None:
            self._limiters[spec.name] = Limiter(spec.name, spec.rule, self._runtime, self._holder)

    def gate(self, spec: LimitSpec, calls: int, lease: float, *, bounded: bool, shared: bool = False) -> Gate[Any]:
        """Return a new gate for ``calls`` calls at once in this process, whose leases are of ``lease`` seconds.
        ``bounded``: calls that leave come again, so that few calls need to wait here. ``shared``: messages of other
        handlers come with those of the gate.
        """
        self.check(spec)
        self._holder.needs(lease)
        keyed = bounded and (spec.by is not None or shared)
        gate: Gate[Any] = Gate(self.limiter(spec.name), self._runtime, calls, bounded=keyed)
        if bounded:
            self._gates.append(gate)
        return gate

    def limiter(self, name: str) -> Limiter:
        """Return the limit of a name that was checked. Raises `KeyError`."""
        return self._limiters[name]

    def drain(self) -> None:
        """Let no more calls begin, and the waiting calls leave."""
        for gate in self._gates:
            for waiting in gate.close():
                waiting.entrant.spill(waiting.item, 0.0)

    def _late(self) -> None:
        text = "this process was paused for longer than %g s: other processes may have taken its slots of limits"
        logger.warning(text, self._holder.lease)

    async def close(self) -> None:
        """Give back all slots. Called after the calls have ended."""
        try:
            for limiter in self._limiters.values():
                await limiter.close()
            await self._holder.close()
        except TelexError as error:
            logger.error("the slots of the limits are free when their lease ends: %s", error)
