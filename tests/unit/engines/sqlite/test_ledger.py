"""Which ids are known, and for how long."""

from contextlib import closing
from pathlib import Path
from time import time
from typing import Any

import pytest

from telex.engines.sqlite.address import parse
from telex.engines.sqlite.files import writing
from telex.engines.sqlite.ledger import Ledger
from telex.log.dedup import SECONDS
from telex.testing.conformance.rig import message
from tests.support.internals import client_of
from tests.unit.engines.sqlite.rigs import publish_numbers, rig_on


def test_ids_are_forgotten_after_their_window(tmp_path: Path) -> None:
    with closing(writing(parse(f"sqlite:///{tmp_path}/telex.db"))) as connection:
        ledger, now = Ledger(connection), time()
        for number, ago in enumerate((SECONDS + 10, SECONDS + 5, SECONDS - 20, 0)):
            connection.execute("BEGIN IMMEDIATE")
            ledger.refresh()
            ledger.add([message("t", 1, id=f"id {number}")], [("int", None, None, b"1", 1)], now - ago)
            ledger.finish(now - ago)
            connection.execute("COMMIT")
            ledger.clear()
        assert connection.execute("SELECT id FROM telex_ids ORDER BY id").fetchall() == [("id 2",), ("id 3",)]


@pytest.mark.parametrize(("ago", "known"), [(SECONDS - 20, True), (SECONDS + 5, False)])
async def test_an_id_made_here_is_known_for_its_window(tmp_path: Path, ago: float, known: bool) -> None:
    async with rig_on(tmp_path) as rig:
        (made,) = await publish_numbers(rig, "t", 1, ago=ago)
        (again,) = await publish_numbers(rig, "t", 1, id=made.id)
        assert (again.seq == made.seq) is known


async def test_an_imported_id_is_known_for_all_time(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        store: Any = rig.engine.store
        first, again = (message("t", 1, id="old", published=time() - 1e6) for _ in range(2))
        assert await store.append([first], adopt=True) == [first.numbered(1, 0)]
        transaction: Any = rig.transaction()
        async with transaction as tx:
            await tx.execute("SELECT 1")
        await client_of(rig.engine).write(  # as it is pruned two minutes later
            lambda connection, _: connection.execute("DELETE FROM telex_ids").fetchall()
        )
        await client_of(rig.engine).write(  # and retention lets the message go
            lambda connection, _: connection.execute("DELETE FROM telex_messages").fetchall()
        )
        assert await store.append([again], adopt=True) == []
