"""The logs of a file, as the contract of engines has them."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite.change_reader import ChangeReader
from telex.log.log import Retention
from tests.support.loops import until
from tests.unit.engines.sqlite.rigs import publish_numbers, rig_on


async def test_a_pattern_has_what_this_process_hears_later_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, unheard = f"sqlite:///{tmp_path}/a.db", list[tuple[ChangeReader, int]]()
    async with telex.Hub(url) as other:
        await other.topic("m:a").publish(1)
        noticed = ChangeReader.noticed
        monkeypatch.setattr(ChangeReader, "noticed", lambda self, pos: unheard.append((self, pos)))
        async with telex.Hub(url) as hub:
            async with hub.topic("m:*").subscribe() as inbox:
                await other.topic("m:a").publish(2)
                assert [message.content async for message in hub.topic("m:*").history()][:1] == [1]
                async with asyncio.timeout(20):
                    # Nothing tells of it, unless a transaction of this process came after it.
                    await until(lambda: unheard or inbox.waiting)
                monkeypatch.undo()
                for tail, pos in unheard:
                    noticed(tail, pos)
                assert (await inbox.receive(timeout=20)).content == 2
            assert [message.content async for message in hub.topic("m:*").history()] == [1, 2]


async def test_retention_is_a_rule_of_the_file(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        assert rig.engine.store is not None
        await rig.engine.store.retain([("t", Retention(messages=1))])
        await publish_numbers(rig, "t", 3)
    async with rig_on(tmp_path) as rig:
        assert rig.engine.store is not None
        assert rig.engine.store.extent("t")[:2] == (3, 4)
