"""Rows of messages: written in any number, and read though a disk has damaged their text."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from telex.engines.contract.groups import Unreadable
from telex.engines.sqlite import rows
from tests.unit.engines.sqlite.rigs import file_with

BAD = "CAST(x'fffe' AS TEXT)"


def row(pos: int) -> tuple[Any, ...]:
    """A whole row of ``telex_messages``, in topic 1."""
    return (pos, 1, pos, f"id {pos}", 1000.0, "int", None, None, str(pos), pos)


@pytest.mark.parametrize("count", [0, 1, rows.MANY - 1, rows.MANY, rows.MANY + 1, 3 * rows.MANY])
def test_any_number_of_rows_is_written_once_and_in_order(tmp_path: Path, count: int) -> None:
    with closing(file_with(tmp_path, 1)) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM telex_messages")
        written = [row(pos) for pos in range(1, count + 1)]
        rows.insert(connection, written)
        assert connection.execute("SELECT * FROM telex_messages ORDER BY pos").fetchall() == written
        assert written == [row(pos) for pos in range(1, count + 1)], "the rows of the caller are as they were"


def test_a_row_is_a_message(tmp_path: Path) -> None:
    with closing(file_with(tmp_path, 1)) as connection:
        (found,) = rows.select(connection, f"SELECT {rows.COLUMNS} FROM {rows.JOINED}", ())
        message = rows.decode_one(found, lambda content, topic, type_: content)
        assert (message.topic, message.seq, message.content, message.type) == ("t", 1, 0, "int")


def test_damaged_text_is_unreadable_and_the_rest_is_text() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        ((good, bad),) = rows.select(connection, f"SELECT 'good', {BAD}", ())
        assert good == "good"
        assert isinstance(bad, Unreadable)
        assert rows.select(connection, "SELECT ?", ("é",)) == [("é",)], "the connection reads text again"
        with pytest.raises(sqlite3.OperationalError, match="UTF-8"):
            connection.execute(f"SELECT {BAD}").fetchall()


def test_an_error_of_sqlite_is_raised_and_not_read_again() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        reads: list[str] = []

        def read() -> Any:
            reads.append("once")
            return connection.execute("SELECT * FROM nowhere").fetchall()

        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            rows.tolerate(connection, read)
        assert reads == ["once"]


def test_text_is_strict_again_after_an_error_in_a_lenient_block() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(LookupError), rows.leniently(connection):
            raise LookupError
        assert connection.text_factory is str
