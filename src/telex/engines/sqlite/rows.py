"""The rows of messages in a file: their columns, writing rows, and reading rows, also damaged ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

from telex.engines import forms
from telex.engines.contract.groups import Unreadable
from telex.engines.sqlite import problems
from telex.message import Message

R = TypeVar("R")
OWN = "m.pos, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content"
COLUMNS = f"{OWN}, t.name, t.uid"
JOINED = "telex_messages m JOIN telex_topics t ON t.id = m.topic"
"""`FileClient.message` reads rows of ``SELECT {COLUMNS} FROM {JOINED}``. Messages of removed topics are not among
them.
"""

MANY = 32
"""The number of rows in one statement, which costs less than single rows."""
_INSERT = "INSERT INTO telex_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_MANY = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" * (MANY - 1)
LARGEST = 999_000_000
"""The largest message in bytes: SQLite allows a thousand million bytes per row."""


def insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Insert whole rows into ``telex_messages``."""
    many = len(rows) - len(rows) % MANY
    for first in range(0, many, MANY):
        connection.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + MANY])))
    if many < len(rows):
        connection.executemany(_INSERT, rows[many:])


def select(connection: sqlite3.Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    """Return all rows of a query of messages; see `tolerate`."""
    return tolerate(connection, lambda: connection.execute(sql, parameters).fetchall())


def tolerate(connection: sqlite3.Connection, read: Callable[[], R]) -> R:
    """Return the result of ``read``. When it meets text that is not UTF-8, which only a damaged file has, call it
    again, with such text as `Unreadable`.
    """
    try:
        return read()
    except sqlite3.OperationalError as error:
        if problems.code(error):  # SQLite reported it; a text that Python cannot decode has no code
            raise
    with leniently(connection):
        return read()


@contextmanager
def leniently(connection: sqlite3.Connection) -> Iterator[None]:
    """Enter a block in which text that is not UTF-8 is read as `Unreadable`."""
    connection.text_factory = text_or_bytes
    try:
        yield
    finally:
        connection.text_factory = str


def text_or_bytes(data: bytes) -> str | Unreadable:
    """Return text, or `Unreadable` for bytes that are not UTF-8: a `sqlite3.Connection.text_factory`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Unreadable(data, "it is not UTF-8 text")


def decode_one(row: tuple[Any, ...], shape: forms.Shape) -> Message[Any]:
    """Return a row of ``SELECT {COLUMNS} FROM {JOINED}`` as a message."""
    return forms.decode([row[:8]], row[8], int(row[9]), shape)[0]
