"""The outbox of a file: statements that a program executes in its own transaction."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.sqlite.outbox import FileOutbox
from telex.message import Draft
from telex.testing.conformance.rig import message
from tests.unit.engines.sqlite.rigs import connect, rig_on


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of a program to a file that no engine has open."""

    async def make() -> None:
        async with rig_on(tmp_path):
            pass

    asyncio.run(make())
    with closing(connect(tmp_path)) as opened:
        yield opened


def write(connection: sqlite3.Connection, draft: Draft, due: float | None = None) -> None:
    for sql, values in FileOutbox().write(draft, due):
        connection.execute(sql.format_map({name: f":{name}" for name in values}), values)


def rows(connection: sqlite3.Connection, columns: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM telex_delayed ORDER BY n").fetchall()


def counters(connection: sqlite3.Connection) -> tuple[int, int]:
    found: tuple[int, int] = connection.execute("SELECT delays, commits FROM telex_state").fetchone()
    return found


def test_a_draft_is_a_row_with_all_of_its_parts(connection: sqlite3.Connection) -> None:
    draft = message("orders", {"number": 7}, id="one", key="k", headers={"by": "ann"}, published=1000.0)
    write(connection, draft)
    assert rows(connection, "due, topic, id, time, type, key, headers, content") == [
        (0.0, "orders", "one", 1000.0, "dict", "k", '{"by":"ann"}', '{"number":7}')
    ]


def test_messages_that_are_due_at_once_keep_their_order_and_stand_before_later_ones(
    connection: sqlite3.Connection,
) -> None:
    for number, due in enumerate((None, 5.0, None)):
        write(connection, message("t", number, id=str(number)), due)
    assert rows(connection, "id, due") == [("0", 0.0), ("1", 5.0), ("2", 0.0)]
    assert connection.execute("SELECT id FROM telex_delayed ORDER BY due, n").fetchall() == [("0",), ("2",), ("1",)]


def test_an_id_is_written_once_for_each_topic(connection: sqlite3.Connection) -> None:
    for topic, content in (("t", 1), ("t", 2), ("u", 3)):
        write(connection, message(topic, content, id="one"))
    assert rows(connection, "topic, content") == [("t", "1"), ("u", "3")]


def test_an_engine_sees_by_the_counters_that_something_was_written(connection: sqlite3.Connection) -> None:
    before = counters(connection)
    write(connection, message("t", 1, id="one"))
    assert counters(connection) == (before[0] + 1, before[1] + 1)


async def test_an_engine_publishes_what_was_written(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        with closing(connect(tmp_path)) as connection:
            connection.execute("BEGIN")
            for number in range(3):
                write(connection, message("t", number, id=str(number)))
            connection.execute("COMMIT")
        await rig.until(lambda: len(rig.contents("t")) == 3, "the messages of the outbox")
        assert rig.contents("t") == [0, 1, 2]
        assert [new.id for new in rig.taken["t"]] == ["0", "1", "2"]


def test_content_without_a_json_form_is_refused_before_anything_is_written(connection: sqlite3.Connection) -> None:
    with pytest.raises(telex.ContentError, match="no JSON form"):
        write(connection, message("t", object(), id="one"))
    assert rows(connection, "id") == []
