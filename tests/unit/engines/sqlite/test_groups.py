"""Groups on SQLite: beside a model, and what the conformance suite does not ask of every engine.

Engines that have the same file open stand for processes. Their clock is set.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from telex.engines import Fetched, Settlement
from telex.engines.contract.groups import Action
from telex.testing.conformance.suite import settle_dead
from tests.support.group_model import Run, Step, steps
from tests.support.internals import client_of
from tests.support.shifting import set_time
from tests.unit.engines.sqlite.rigs import FEW, G, ask, claim, groups_of, publish_numbers, rig_on, rigs_on, send, settle


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["t:1", "t:*", ">"])
@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("bounds", [{}, FEW], ids=["far", "near"])
def test_a_group_is_as_the_model_says(pattern: str, engines: int, bounds: dict[str, int]) -> None:

    @settings(max_examples=10)
    @given(plan=steps(removal=engines == 1))
    def check(plan: list[Step]) -> None:
        async def go() -> None:
            with TemporaryDirectory() as place:
                async with rigs_on(place, engines, **bounds) as rigs:
                    await Run(rigs, pattern, set_time).do(plan)

        asyncio.run(go())

    check()


async def test_a_forgotten_group_gives_nothing(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", 1, 2)
        (delivery,) = (await claim(rig, "a:1", 1)).deliveries
        assert await groups_of(rig).change(G, "a:1", "forget")
        for _ in range(2):
            assert await claim(rig, "a:1") == Fetched((), 0)
        done = [Settlement(delivery.position, delivery.token, "ack")]
        assert await settle(rig, "a:1", done) == [False]
        assert ask(tmp_path, "SELECT count(*) FROM telex_claims") == [(0,)]


async def test_only_what_can_be_fetched_makes_waiting_fetches_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rigs_on(tmp_path) as (rig,):
        groups, stirs = groups_of(rig), list[str | None]()
        monkeypatch.setattr(client_of(rig.engine).fetches, "stir", lambda pattern=None: stirs.append(pattern))
        await rig.join(G, "a:*")
        await send(rig, "a:1", "x", "y", key="k")
        actions: tuple[Action, ...] = ("nack", "reject", "ack")
        for action in actions:
            (delivery,) = (await claim(rig, "a:*")).deliveries
            stirs.clear()
            assert await rig.settle(G, "a:*", delivery, action)
            assert stirs == (["a:*"] if action != "ack" else []), "the last one leaves nothing"
        stirs.clear()
        await groups.change(G, "a:*", "pause")
        assert stirs == []
        await groups.change(G, "a:*", "resume")
        assert stirs == ["a:*"]
        (letter,) = await groups.dead()
        stirs.clear()
        assert await settle_dead(groups, G, "a:*", letter.position, "retry")
        assert stirs == ["a:*"]


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
            return len((await groups.fetch("g", "t", 1, 30.0, "me", 0.0)).deliveries)

        assert await claim() == 0
        assert asked == ["looks"]
        await publish_numbers(rig, "t", 2)
        assert [await claim() for _ in range(3)] == [1, 1, 0]
        assert asked[1:] == ["looks", "claims", "claims", "claims"]
        assert await claim() == 0
        assert asked[5:] == ["looks"]
