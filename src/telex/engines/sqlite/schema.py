"""The tables of the file, and their migrations.

``pos`` numbers all messages of the file in the order in which they were stored, without gaps, from 1; ``seq`` numbers
those of a topic. All tables of telex begin with ``telex_``; other tables belong to the program.
"""

from __future__ import annotations

import sqlite3
from secrets import token_hex

from telex.engines.sqlite.connection import is_reserved

APPLICATION = 0x74656C78
"""The application id ``telx``, in the header of a file that telex made."""

TABLES = """
CREATE TABLE telex_state (
    -- One row. Every transaction of telex that changes something adds 1 to commits.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,                 -- from which the epochs of topics are made
    pos INTEGER NOT NULL,                -- of the next message
    commits INTEGER NOT NULL,
    removals INTEGER NOT NULL,           -- how often a topic was removed
    rules INTEGER NOT NULL,              -- how often telex_rules changed
    delays INTEGER NOT NULL,             -- how often something was added to telex_delayed
    token INTEGER NOT NULL,              -- the last of a claim
    revision INTEGER NOT NULL            -- the last of a record
);
CREATE TABLE telex_topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    uid TEXT NOT NULL,                   -- a number of 74 bits
    end INTEGER NOT NULL,                -- the number of the next message
    first INTEGER NOT NULL,              -- nothing below is shown to readers; all from here on is there
    swept INTEGER NOT NULL,              -- below are only those messages that a group holds
    gone INTEGER NOT NULL,               -- the total of message first - 1
    trimmed REAL,                        -- the time of message first - 1
    total INTEGER NOT NULL               -- bytes of all messages ever
);
CREATE TABLE telex_messages (
    pos INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT,                             -- only what a publisher gave; others are made from uid + seq
    time REAL NOT NULL,
    type TEXT NOT NULL,
    key TEXT,
    headers TEXT,                        -- JSON
    content NOT NULL,                    -- TEXT: JSON. BLOB: content that was bytes
    total INTEGER NOT NULL               -- bytes of the topic's messages up to and with this one
);
CREATE UNIQUE INDEX telex_messages_seq ON telex_messages (topic, seq);
CREATE TABLE telex_ids (
    -- What publishers gave in the last two minutes.
    topic INTEGER NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time REAL NOT NULL,
    PRIMARY KEY (topic, id)
) WITHOUT ROWID;
CREATE INDEX telex_ids_time ON telex_ids (time);
CREATE TABLE telex_removed (
    -- How often a topic of this name was removed: its epoch has the number in it.
    name TEXT PRIMARY KEY,
    times INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE telex_orphans (topic INTEGER PRIMARY KEY);  -- removed topics whose messages are still to be deleted
CREATE TABLE telex_rules (
    pattern TEXT PRIMARY KEY,
    messages INTEGER,
    age REAL,
    bytes INTEGER,
    ord INTEGER NOT NULL                 -- of the rules that fit a topic, the highest holds
) WITHOUT ROWID;
CREATE TABLE telex_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    pattern TEXT NOT NULL,
    floor INTEGER NOT NULL,              -- the pos from which on nothing was looked at yet
    paused INTEGER NOT NULL DEFAULT 0,
    passed INTEGER NOT NULL DEFAULT 0,   -- how many of its messages were looked at, ever
    held INTEGER NOT NULL DEFAULT 0,     -- how many rows of telex_claims are not dead
    split INTEGER NOT NULL DEFAULT 0,    -- telex_begins is discarded to messages from this pos on
    UNIQUE (name, pattern)
);
CREATE TABLE telex_begins (
    -- Topics in which a group begins later than at the pos where it began.
    grp INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (grp, topic)
) WITHOUT ROWID;
CREATE TABLE telex_claims (
    grp INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    key TEXT,
    attempt INTEGER NOT NULL,
    token INTEGER NOT NULL,
    owner TEXT NOT NULL,
    state INTEGER NOT NULL,              -- 0 waits, 1 is leased, 2 is dead, 3 waits for another of its key
    due REAL NOT NULL,                   -- see telex.engines.sqlite.leases
    reason TEXT,
    died REAL,
    PRIMARY KEY (grp, pos)
) WITHOUT ROWID;
CREATE INDEX telex_claims_due ON telex_claims (grp, state, due);
CREATE INDEX telex_claims_key ON telex_claims (grp, key, pos) WHERE key IS NOT NULL AND state <> 2;
CREATE TABLE telex_delayed (
    n INTEGER PRIMARY KEY,
    due REAL NOT NULL,
    topic TEXT NOT NULL,
    id TEXT NOT NULL,
    time REAL NOT NULL,
    type TEXT NOT NULL,
    key TEXT,
    headers TEXT,
    content NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX telex_delayed_due ON telex_delayed (due);
CREATE TABLE telex_records (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
"""

EXPIRING = """
ALTER TABLE telex_records ADD COLUMN expires REAL;      -- from when on it may be deleted
CREATE INDEX telex_records_expires ON telex_records (expires) WHERE expires IS NOT NULL;
"""

VERSIONED = """
CREATE TABLE telex_version (
    -- One row. In the file's header, the version and the application are those of the program's own tables.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
);
INSERT INTO telex_version VALUES (1, 3);
"""

RESTING = """
ALTER TABLE telex_groups ADD COLUMN rests INTEGER NOT NULL DEFAULT 0;  -- what is above its floor is not kept for it
"""

SEEKING = """
ALTER TABLE telex_groups ADD COLUMN redo INTEGER NOT NULL DEFAULT 0;  -- below are telex_claims from before a seek
"""

MIGRATIONS: tuple[str, ...] = (TABLES, EXPIRING, VERSIONED, RESTING, SEEKING)
"""Migration n upgrades a file of version n to version n + 1. A released migration is never changed."""

VERSION = len(MIGRATIONS)


class NotOurs(Exception):
    """The file cannot be used by this version; the text tells why and how to fix it."""


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables, or migrate them to this version. Inside of a write transaction, which the caller commits.

    Raises `NotOurs` for the file of a newer telex, and for tables of another program with the same names.
    """
    version = version_of(connection)
    if version == VERSION:
        return
    if not version and not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")  # the file has no other tables
    for script in MIGRATIONS[version:]:
        for statement in _statements(script):
            connection.execute(statement)
    if version == 0:
        connection.execute("INSERT INTO telex_state VALUES (1, ?, 1, 0, 0, 0, 0, 0, 0)", (token_hex(6),))
    connection.execute("UPDATE telex_version SET version = ?", (VERSION,))


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of telex's tables in a file, 0 if there are none. Raises `NotOurs` as `prepare`."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    names = sorted(name for (name,) in found if is_reserved(name))
    if "telex_version" in names:
        (version,) = connection.execute("SELECT version FROM telex_version").fetchone() or (None,)
    elif "telex_state" in names:  # the first versions were written into the header of the file
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    elif names:
        raise NotOurs(
            f"the file has a table {names[0]!r} of another program, with a name that telex needs; rename the "
            "table, or give telex a file of its own"
        )
    else:
        return 0
    if not isinstance(version, int) or version < 1:
        raise NotOurs(f"it is damaged: the version of its tables is {version!r}; take a copy from a backup")
    if version > VERSION:
        raise NotOurs(f"a newer telex wrote it (version {version}, this one knows {VERSION}); update telex")
    return version


def _statements(script: str) -> list[str]:
    found: list[str] = []
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
