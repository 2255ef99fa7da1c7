"""The thread that writes, lent to one transaction."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite.transaction import SQLiteTransaction
from tests.support.internals import client_of
from tests.support.loops import idle
from tests.unit.engines.sqlite.rigs import rig_on


async def test_a_statement_is_interrupted_at_the_end_of_its_transaction(tmp_path: Path) -> None:
    long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) SELECT max(i) FROM n"
    async with rig_on(tmp_path) as rig:
        tx = SQLiteTransaction(client_of(rig.engine), 0.05, None)  # SQLite's
        await tx.__aenter__()
        with pytest.raises(telex.Timeout):
            await tx.execute(long)
        with pytest.raises(telex.Timeout):
            await tx.__aexit__(None, None, None)


async def test_a_transaction_whose_entering_was_cancelled_holds_nothing(tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        first, second = hub.transaction(), hub.transaction()
        await first.__aenter__()
        entering = asyncio.create_task(second.__aenter__())
        await idle()
        entering.cancel()
        await first.__aexit__(None, None, None)
        with pytest.raises(asyncio.CancelledError):
            await entering
        publishing = asyncio.ensure_future(hub.topic("t").publish(1))
        done, _ = await asyncio.wait([publishing], timeout=10)
        assert done, "the transaction that nobody entered has the file"


@pytest.mark.parametrize("statement", ["ALTER TABLE telex_messages RENAME TO mine", "ALTER TABLE telex_ids ADD x"])
async def test_a_transaction_may_not_change_the_tables_of_telex(tmp_path: Path, statement: str) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE mine (a)")
            await tx.execute("ALTER TABLE mine RENAME TO ours")
            with pytest.raises(telex.Misuse, match="belong to telex"):
                await tx.execute(statement)
        assert (await hub.topic("t").publish(1)).seq == 1
