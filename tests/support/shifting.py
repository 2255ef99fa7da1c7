"""Engines whose clock of leases is set forward, so that no test waits for the end of a lease."""

from time import time
from typing import Any, ClassVar

from telex.engines.memory.engine import MemoryEngine
from telex.engines.memory.groups import MemoryGroups
from telex.engines.sqlite import SQLiteEngine
from telex.engines.sqlite.clock import Clock
from telex.testing.conformance.suite import Suite
from tests.support.internals import client_of


class ShiftedClock(Clock):
    """The clock of a file, ahead by the seconds that `Shifting` has let pass."""

    def __init__(self, shifting: "Shifting") -> None:
        super().__init__()
        self.shifting = shifting

    def now(self) -> float:
        return super().now() + self.shifting.ahead


class FixedClock(Clock):
    """A clock that shows one moment."""

    def __init__(self, moment: float) -> None:
        super().__init__()
        self.moment = moment

    def now(self) -> float:
        return self.moment


def set_time(engine: Any, moment: float | None) -> None:
    """Set the clock of leases to a moment, at which it stands; None: let it go on from the time of day."""
    if isinstance(engine, SQLiteEngine):
        client_of(engine).clock = Clock() if moment is None else FixedClock(moment)
    else:
        engine.groups.clock = time if moment is None else lambda: moment


class Shifting(Suite):
    """The part of a conformance suite that sets the clocks of its engines forward."""

    tick: ClassVar[float] = 1.0
    ahead = 0.0

    async def pass_time(self, seconds: float) -> None:
        self.ahead += seconds

    def shifted(self, engine: Any) -> Any:
        """The engine, with a clock that is set forward."""
        if isinstance(engine, SQLiteEngine):
            client_of(engine).clock = ShiftedClock(self)
        if isinstance(engine, MemoryEngine):
            assert isinstance(engine.groups, MemoryGroups)
            now = engine.groups.clock
            engine.groups.clock = lambda: now() + self.ahead
        return engine
