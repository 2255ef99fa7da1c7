"""Parts of the tests of limits: processes that share the records of a hub, on a virtual clock, and waiting calls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import telex
from telex.hub import runtime_of
from telex.limits.gate import Gate, Waiting
from telex.limits.limit import LimitSpec, rule_of
from telex.limits.registry import LimitRegistry
from telex.runtime import Runtime
from telex.testing.clock import VirtualClock


def spec(name: str = "n", *, by: Any = "key", **options: Any) -> LimitSpec:
    return LimitSpec(name, rule_of(telex.Limit(**options)), by)


class HubClock:
    """A clock of its own for each run."""

    def run(self, main: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """Run a test with the runtime of an open hub, in virtual time."""
        virtual = VirtualClock()

        async def run() -> None:
            async with telex.Hub("memory://", clock=virtual) as hub:
                await main(runtime_of(hub))

        virtual.run(run())


clock = HubClock()


@asynccontextmanager
async def processes(runtime: Runtime, count: int = 2) -> AsyncIterator[list[LimitRegistry]]:
    """Registries that share the records of a hub, as those of several processes do."""
    made = [LimitRegistry(runtime) for _ in range(count)]
    yield made
    for each in made:
        await each.close()


@dataclass
class Calls:
    """The calls of one gate: each takes ``seconds``."""

    limits: LimitRegistry
    limit: LimitSpec
    most: int = 100
    seconds: float = 0.0
    bounded: bool = True
    lease: float = 30.0
    begins: list[tuple[str, float]] = field(default_factory=list)
    spilled: list[tuple[Any, float]] = field(default_factory=list)
    running: int = 0
    top: int = 0

    def __post_init__(self) -> None:
        self.gate: Gate[Any] = self.limits.gate(self.limit, self.most, self.lease, bounded=self.bounded)

    def add(self, *keys: str, level: int = 0) -> None:
        for key in keys:
            self.gate.add(key, Waiting(self, key), level)

    def start(self, item: Any, key: str) -> None:
        self.running += 1
        self.top = max(self.top, self.running)
        loop = asyncio.get_running_loop()
        self.begins.append((item, loop.time()))
        loop.call_later(self.seconds, self._end, key)

    def _end(self, key: str) -> None:
        self.running -= 1
        self.gate.ended(key, seconds=self.seconds)

    def spill(self, item: Any, seconds: float) -> None:
        self.spilled.append((item, seconds))

    def times(self, key: str) -> list[float]:
        return [time for item, time in self.begins if item == key]
