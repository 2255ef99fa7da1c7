"""The guarded connection that is lent to programs."""

import sqlite3
from pathlib import Path

import telex


async def test_settings_of_a_program_end_with_its_statement(tmp_path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.row_factory = lambda cursor, row: {"nothing": "of use"}
        connection.text_factory = bytes

    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        async with hub.transaction() as tx:
            await tx.run(change)
            assert (await tx.publish("t", 1, id="an id")).seq == 1
        assert (await hub.topic("t").publish(2, id="an id")).content == 1, "it is read back"
        assert (await hub.topic("t").publish(3)).seq == 2
