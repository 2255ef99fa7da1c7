"""Groups on SQLite: beside a model, and what the conformance suite does not ask of every engine.

Engines that have the same file open stand for processes. Time is what is handed to claims and settlements.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Any

import pytest
from hypothesis import given, settings

from telex.engines import Claimed, Settlement
from telex.engines.contract.groups import Action
from tests.support.group_model import Run, Step, steps
from tests.support.internals import client_of
from tests.unit.engines.sqlite.rigs import FEW, G, ask, claim, groups_of, publish_numbers, rig_on, rigs_on, send


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["t:1", "t:*", ">"])
@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("bounds", [{}, FEW], ids=["far", "near"])
def test_a_group_is_as_the_model_says(pattern: str, engines: int, bounds: dict[str, int]) -> None:

    @settings(max_examples=20)
    @given(plan=steps(removal=engines == 1))
    def check(plan: list[Step]) -> None:
        async def go() -> None:
            with TemporaryDirectory() as place:
                async with rigs_on(place, engines, **bounds) as rigs:
                    await Run(rigs, pattern, time()).do(plan)

        asyncio.run(go())

    check()


async def test_a_forgotten_group_gives_nothing(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", 1, 2)
        (delivery,) = (await claim(rig, "a:1", 1)).deliveries
        assert await groups_of(rig).forget(G, "a:1")
        for _ in range(2):
            assert await claim(rig, "a:1") == Claimed([], None, 0)
        done = [Settlement(delivery.position, delivery.token, "ack")]
        assert await groups_of(rig).settle(G, "a:1", done, time()) == [False]
        assert ask(tmp_path, "SELECT count(*) FROM telex_claims") == [(0,)]


async def test_members_are_told_when_there_may_be_something(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        groups = groups_of(rig)
        await rig.join(G, "a:*")
        await send(rig, "a:1", "x", "y", key="k")
        actions: tuple[Action, ...] = ("nack", "reject", "ack")
        for action in actions:
            (delivery,) = (await claim(rig, "a:*")).deliveries
            rig.stirs.clear()
            assert await rig.settle(G, "a:*", delivery, action, time())
            assert rig.stirs == (["a:*"] if action != "ack" else []), "the last one leaves nothing"
        rig.stirs.clear()
        await groups.pause(G, "a:*", True)
        assert rig.stirs == []
        await groups.pause(G, "a:*", False)
        assert rig.stirs == ["a:*"]
        (letter,) = await groups.dead()
        rig.stirs.clear()
        assert await groups.revive(G, "a:*", letter.position, time())
        assert rig.stirs == ["a:*"]


async def test_a_group_that_had_nothing_is_looked_at_before_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig_on(tmp_path) as rig:
        groups, runtime = rig.engine.groups, client_of(rig.engine)  # SQLite's
        assert groups is not None
        await rig.join("g", "t")
        asked: list[str] = []
        read, write = runtime.read, runtime.write

        async def looks(work: Any) -> Any:
            asked.append("looks")
            return await read(work)

        async def claims(work: Any) -> Any:
            asked.append("claims")
            return await write(work)

        monkeypatch.setattr(runtime, "read", looks)
        monkeypatch.setattr(runtime, "write", claims)

        async def claim() -> int:
            return len((await groups.claim("g", "t", 1, 30.0, "me", time())).deliveries)

        assert await claim() == 0
        assert asked == ["looks"]
        await publish_numbers(rig, "t", 2)
        assert [await claim() for _ in range(3)] == [1, 1, 0]
        assert asked[1:] == ["looks", "claims", "claims", "claims"]
        assert await claim() == 0
        assert asked[5:] == ["looks"]
