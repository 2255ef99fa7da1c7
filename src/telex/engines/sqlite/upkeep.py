"""Checking and compacting a file, for ``telex check`` and ``telex compact``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from telex.engines import forms
from telex.engines.contract.groups import Unreadable
from telex.engines.sqlite import problems, rows, schema
from telex.errors import ConnectFailed, EngineFailed

MANY = 100
"""The largest number of reported problems."""
BUSY = 5.0
"""The seconds to wait while another program has the file locked."""
RESTORE = (
    "copy the file, then restore a backup; `telex export --url sqlite:///FILE` may still read some of the messages"
)
SKIPPED = "readers skip it, and groups make it a dead letter"


def check(path: str | Path) -> list[str]:
    """Return the problems of a file as texts; none when it is in order. It reads the whole file, and changes nothing.

    Raises `ConnectFailed` when the file does not exist, or is not of telex.
    """
    with opened(path, "ro") as connection:
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({MANY})")]
            if found != ["ok"]:
                return [*(f"SQLite: {text}" for text in found), RESTORE]
            found = [*_disagreements(connection), *_unreadable(connection)]
        # the rows differ from those that telex writes
        except (sqlite3.Error, TypeError, ValueError, LookupError) as error:
            return [problems.explain(error)]
    return found[:MANY]


def _disagreements(connection: sqlite3.Connection) -> list[str]:
    """Return the contradictions of the tables."""
    found = []
    (pos,) = connection.execute("SELECT pos FROM telex_state").fetchone()
    (last,) = connection.execute("SELECT coalesce(max(pos), 0) FROM telex_messages").fetchone()
    if last >= pos:
        found.append(f"a message has place {last}, but the next message has place {pos}")
    for id, name, first, end in connection.execute("SELECT id, name, first, end FROM telex_topics").fetchall():
        sql = "SELECT count(*), coalesce(max(seq), 0) FROM telex_messages WHERE topic = ? AND seq >= ?"
        count, highest = connection.execute(sql, (id, first)).fetchone()
        if count != end - first:
            found.append(f"topic {name!r} should have messages {first} to {end - 1}, and has {count} of them")
        if highest >= end:
            found.append(f"topic {name!r} has message {highest}, but should end before {end}")
    sql = """SELECT count(*) FROM telex_claims c WHERE NOT EXISTS (SELECT 1 FROM telex_messages m WHERE m.pos = c.pos)
        AND NOT EXISTS (SELECT 1 FROM telex_orphans)"""
    (lost,) = connection.execute(sql).fetchone()
    if lost:
        found.append(f"groups hold {lost} messages that do not exist")
    return found


def _unreadable(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield a text for each message whose content cannot be decoded."""
    messages = f"SELECT {rows.OWN}, coalesce(t.name, '(removed)') FROM telex_messages m LEFT JOIN telex_topics t"
    delayed = "SELECT n, 0, id, time, type, key, headers, content, topic FROM telex_delayed ORDER BY n"
    for kind, sql in (("message", f"{messages} ON t.id = m.topic ORDER BY m.pos"), ("delayed message", delayed)):
        for row in connection.execute(sql):
            (message,) = forms.decode([row[:8]], str(row[8]), 0, None)
            if isinstance(message.content, Unreadable):
                number = row[1] if kind == "message" else row[0]
                yield f"{kind} {number} of topic {row[8]!r} cannot be read: {message.content.problem}; {SKIPPED}"


def compact(path: str | Path, busy: float = BUSY) -> tuple[int, int]:
    """Free the space of deleted messages. Return the bytes of the file before and after. It needs the same space again
    while it works, and no program may have the file open; it waits ``busy`` seconds for that.

    Raises `ConnectFailed` as `check`; `EngineFailed` when another program has the file open or the disk is full.
    """
    file = Path(path)
    with opened(path, "rw", busy) as connection:
        before = file.stat().st_size
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise EngineFailed(f"compacting {file}", problems.explain(error)) from None
        return before, file.stat().st_size


@contextmanager
def opened(path: str | Path, mode: str, busy: float = BUSY) -> Iterator[sqlite3.Connection]:
    """Enter a connection to a file of telex, ``ro`` or ``rw``. Raises `ConnectFailed` when the file does not exist or
    is not of telex.
    """
    file = Path(path)
    if not file.is_file():
        problem = "it is a directory; name a file in it" if file.is_dir() else "the file does not exist"
        raise ConnectFailed(str(file), problem)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=busy)) as connection:
            connection.isolation_level = None
            connection.text_factory = rows.text_or_bytes
            if not schema.version_of(connection):
                raise schema.NotOurs("it has no tables of telex")
            yield connection
    except schema.NotOurs as error:
        raise ConnectFailed(str(file), str(error)) from None
    except (sqlite3.Error, OSError, TypeError, ValueError) as error:
        raise ConnectFailed(str(file), problems.explain(error)) from None
