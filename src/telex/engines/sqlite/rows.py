"""The rows of messages in a file: their columns, writing them, and reading them though a disk has damaged them."""

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
"""``SELECT {COLUMNS} FROM {JOINED}`` is what `FileClient.message` reads. Messages of removed topics are not in it."""

MANY = 32
"""So many rows at once cost SQLite, and Python, less than one after the other."""
_INSERT = "INSERT INTO telex_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_MANY = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" * (MANY - 1)
LARGEST = 999_000_000
"""SQLite takes a thousand million bytes a row."""


def insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Write whole rows of ``telex_messages``."""
    many = len(rows) - len(rows) % MANY
    for first in range(0, many, MANY):
        connection.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + MANY])))
    if many < len(rows):
        connection.executemany(_INSERT, rows[many:])


def select(connection: sqlite3.Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    """All rows of a query of messages; see `tolerate`."""
    return tolerate(connection, lambda: connection.execute(sql, parameters).fetchall())


def tolerate(connection: sqlite3.Connection, read: Callable[[], R]) -> R:
    """Call ``read``, and return its result. When it meets text that is not UTF-8, which only a damaged file has, it is
    called again, and such text comes as `Unreadable`."""
    try:
        return read()
    except sqlite3.OperationalError as error:
        if problems.code(error):  # SQLite reported it; what Python cannot decode has no code
            raise
    with leniently(connection):
        return read()


@contextmanager
def leniently(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, text that is not UTF-8 is read as `Unreadable` and fails no query."""
    connection.text_factory = text_or_bytes
    try:
        yield
    finally:
        connection.text_factory = str


def text_or_bytes(data: bytes) -> str | Unreadable:
    """A `sqlite3.Connection.text_factory` that never raises."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Unreadable(data, "it is not UTF-8 text")


def decode_one(row: tuple[Any, ...], shape: forms.Shape) -> Message[Any]:
    """A row of ``SELECT {COLUMNS} FROM {JOINED}``."""
    return forms.decode([row[:8]], row[8], int(row[9]), shape)[0]
