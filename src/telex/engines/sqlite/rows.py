"""Messages as rows, and rows as messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec

from telex import codec
from telex.errors import ContentError
from telex.message import Message

OWN = "m.pos, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content"
COLUMNS = f"{OWN}, t.name, t.uid"
JOINED = "telex_messages m JOIN telex_topics t ON t.id = m.topic"
"""``SELECT {COLUMNS} FROM {JOINED}`` is what `Runtime.message` reads. Messages of removed topics are not in it."""

MANY = 32
"""So many rows at once cost SQLite, and Python, less than one after the other."""
_INSERT = "INSERT INTO telex_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_MANY = _INSERT + ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" * (MANY - 1)

Form = tuple[str, str | None, str | None, str | bytes, int]
"""What of a message needs encoding: type, key, headers, content, and the bytes that the content counts for."""
Shape = Callable[[object, str, str | None], object]
"""`telex.engines.Feed.content`."""

_BYTES = (bytes, bytearray, memoryview)
LARGEST = 999_000_000
"""SQLite takes a thousand million bytes a row."""


def encode(message: Message[Any]) -> Form:
    """The parts of a row that cost work. Raises `ContentError`, the publisher's fault."""
    content, type_, key = message.content, message._type, message._key
    stored: str | bytes
    if isinstance(content, _BYTES):
        stored = bytes(content)
        size = len(stored)
    else:
        try:
            data = codec.to_json(content)
        except RecursionError:
            raise ContentError(message.topic, "it is nested too deeply, or holds itself; publish plain data") from None
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise ContentError(message.topic, f"it has no JSON form, which a file needs: {error}") from None
        stored = data.decode()
        size = len(data)
        if isinstance(content, str):
            size = message.size
        elif message._size < 0:
            msgspec.structs.force_setattr(message, "_size", size)
    if size > LARGEST:
        raise ContentError(message.topic, f"it has {size} bytes, and a file takes {LARGEST}; publish where it is kept")
    headers = message._headers
    return (
        type(content).__name__ if type_ is None else _text(message, type_),
        None if key is None else _text(message, key),
        None if headers is None else codec.to_json(headers).decode(),
        stored,
        size,
    )


def _text(message: Message[Any], text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ContentError(message.topic, f"{text!r} holds a lone surrogate; write proper text") from None
    return text


def insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Write whole rows of ``telex_messages``."""
    many = len(rows) - len(rows) % MANY
    for first in range(0, many, MANY):
        connection.execute(_INSERT_MANY, tuple(chain.from_iterable(rows[first : first + MANY])))
    if many < len(rows):
        connection.executemany(_INSERT, rows[many:])


def decode(rows: list[tuple[Any, ...]], name: str, uid: int, shape: Shape | None) -> list[Message[Any]]:
    """Rows of ``SELECT {OWN}`` of one topic; without a shape, content stays plain."""
    parse = msgspec.json.Decoder().decode
    messages: list[Message[Any]] = [
        Message(
            parse(content) if type(content) is str else content,
            name,
            seq,
            uid if id is None else id,
            time,
            None if headers is None else parse(headers),
            type_,
            -1,
            key,
        )
        for _, seq, id, time, type_, key, headers, content in rows
    ]
    if shape is not None:
        for message in messages:
            msgspec.structs.force_setattr(message, "content", shape(message.content, name, message._type))
    return messages


def decode_one(row: tuple[Any, ...], shape: Shape) -> Message[Any]:
    """A row of ``SELECT {COLUMNS} FROM {JOINED}``."""
    return decode([row[:8]], row[8], int(row[9]), shape)[0]
