"""Groups on SQLite: the contract of `telex.engines.groups`, beside a model and rule by rule.

Engines that have the same file open stand for processes. Time is what is handed to claims and settlements.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import pytest
from hypothesis import given, settings

from telex.engines import engine_for
from telex.testing.conformance.rig import Rig
from tests.support.group_model import Run, Step, steps


@asynccontextmanager
async def opened(place: str | Path, count: int = 1) -> AsyncIterator[list[Rig]]:
    """So many engines on one file."""
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{place}/telex.db?synchronous=normal"
        yield [await stack.enter_async_context(Rig(engine_for(url))) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["t:1", "t:*", ">"])
@pytest.mark.parametrize("engines", [1, 2])
def test_a_group_is_as_the_model_says(pattern: str, engines: int) -> None:
    @settings(max_examples=60)
    @given(plan=steps(removal=engines == 1))
    def check(plan: list[Step]) -> None:
        import asyncio

        async def go() -> None:
            with TemporaryDirectory() as place:
                async with opened(place, engines) as rigs:
                    await Run(rigs, pattern, time()).do(plan)

        asyncio.run(go())

    check()
