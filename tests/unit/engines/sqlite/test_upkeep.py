"""Checking and compacting a file."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite.upkeep import check, compact
from tests.unit.engines.sqlite.hubs import hub_on
from tests.unit.engines.sqlite.rigs import file_with


async def test_compacting_gives_back_space_and_wants_the_file_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path) as (hub, _):
        for _ in range(50):
            await hub.topic("t").publish("x" * 10_000)
        assert await hub.remove("t")
        with pytest.raises(telex.EngineFailed, match="end what holds it"):
            await asyncio.to_thread(compact, path, busy=0.05)
    before, after = await asyncio.to_thread(compact, path)
    assert after < before - 400_000, "500 kB were deleted"
    assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize("number", [4, 5, 1000])
def test_checking_finds_a_message_behind_the_end_of_its_topic(tmp_path: Path, number: int) -> None:
    with closing(file_with(tmp_path, 3)) as other:
        other.execute("UPDATE telex_messages SET seq = ? WHERE seq = 3", (number,))
    found = check(tmp_path / "telex.db")
    assert found == [f"topic 't' has message {number}, but should end before 4"]
