"""`Ledger`: numbers the messages of the writing thread, and caches the ends of topics."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from telex.engines.forms import Form
from telex.engines.sqlite import problems, rows
from telex.engines.sqlite.connection import GuardedConnection
from telex.engines.sqlite.retention import RetentionRules
from telex.log.dedup import SECONDS
from telex.message import Draft, Message, uuid7_counter, uuid7_text

Entry = Message[Any] | tuple[Any, ...]
"""A message, or a row that the event loop has to decode."""
_FORGET = """DELETE FROM telex_ids WHERE (topic, id) IN
    (SELECT topic, id FROM telex_ids WHERE time < ? ORDER BY time LIMIT 1000)"""
_ADOPTED = (
    "CREATE TABLE IF NOT EXISTS telex_adopted (topic INTEGER, id TEXT, PRIMARY KEY (topic, id)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS telex_messages_id ON telex_messages (topic, id) WHERE id IS NOT NULL",
)
_WITH_ID = "SELECT seq FROM telex_messages WHERE topic = ? AND id = ?"


class Account(msgspec.Struct):
    """A topic, as the writing thread caches it."""

    id: int
    name: str
    epoch: str
    uid: int
    end: int
    total: int
    first: int
    swept: int


def uid_of(epoch: str, name: str) -> int:
    """Return the number of 74 bits from which the ids of a topic's messages count: the same in every process."""
    return int.from_bytes(blake2b(f"{epoch}\0{name}".encode(), digest_size=10).digest()) >> 6


def epoch_of(base: str, name: str, removed: int) -> str:
    """Return the epoch of a topic after ``removed`` removals: the same in every process, also before the topic
    exists.
    """
    return blake2b(f"{base}\0{name}\0{removed}".encode(), digest_size=6).hexdigest()


class Ledger:
    """The ends of topics, cached from one transaction to the next as long as no other process writes.

    Invariant: inside of a transaction, `pos` and every account are those of the file plus the messages given to `add`.
    """

    def __init__(self, connection: GuardedConnection) -> None:
        self.connection: GuardedConnection = connection
        self.pos: int = 0
        self.commits: int = -1
        self.epoch: str = ""
        self.rules: RetentionRules = RetentionRules()
        self.accounts: dict[str, Account] = {}
        self.touched: dict[str, Account] = {}  # in this transaction
        self.entries: list[Entry] = []  # of this transaction: messages pos - len(entries) to pos - 1
        self.decode: bool = False  # True when some entries are rows
        self._version = -1  # of the data, by which SQLite counts the writes of other connections
        self._rows: list[tuple[Any, ...]] = []
        self._ids: list[tuple[int, str, int, float]] = []
        self._fresh: dict[tuple[int, str], Message[Any]] = {}  # messages of this transaction, by given id
        self._prune = False

    def refresh(self) -> None:
        """Drop cached data that another process may have changed, at the start of a transaction."""
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        state = self.connection.execute("SELECT epoch, pos, commits, rules FROM telex_state").fetchone()
        self._version = version
        if self.commits >= 0 and (state[2] < self.commits or state[0] != self.epoch):
            raise problems.Replaced(self.connection.execute("PRAGMA database_list").fetchone()[2])
        if state[2] == self.commits:
            return
        self.epoch, self.pos, self.commits, rules = state
        self.accounts.clear()
        self.rules.refresh(self.connection, rules)

    def forget(self) -> None:
        """Drop all cached data: a transaction was rolled back, or a topic removed."""
        self._version = self.commits = -1
        self.accounts.clear()
        self.clear()

    def clear(self) -> None:
        """Drop the data of the transaction, which has ended."""
        self.touched = {}
        self.entries = []
        self.decode = False
        self._rows, self._ids, self._fresh = [], [], {}

    def account(self, name: str) -> Account:
        """Return the account of a topic, to be changed in this transaction; create the topic if there is none."""
        account = self.accounts.get(name) or self._load(name) or self._make(name)
        self.accounts[name] = self.touched[name] = account
        return account

    def _load(self, name: str) -> Account | None:
        row = self.connection.execute(
            "SELECT id, name, epoch, uid, end, total, first, swept FROM telex_topics WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else Account(row[0], row[1], row[2], int(row[3]), *row[4:])

    def _make(self, name: str) -> Account:
        removed = self.connection.execute("SELECT times FROM telex_removed WHERE name = ?", (name,)).fetchone()
        epoch = epoch_of(self.epoch, name, removed[0] if removed else 0)
        uid = uid_of(epoch, name)
        cursor = self.connection.execute(
            "INSERT INTO telex_topics (name, epoch, uid, end, first, swept, gone, total) VALUES (?,?,?,1,1,1,0,0)",
            (name, epoch, str(uid)),
        )
        assert cursor.lastrowid is not None
        return Account(cursor.lastrowid, name, epoch, uid, 1, 0, 1, 1)

    def add(self, drafts: Sequence[Draft], forms: Sequence[Form], now: float, *, adopted: bool = False) -> list[Entry]:
        """Number drafts. Return their messages; for a known id, the stored message in its place.

        Ids of ``adopted`` drafts are remembered for ever, and drafts with known ids are left out.
        """
        if adopted:
            self._remember_adopted()
        made: list[Entry] = []
        known: list[tuple[int, Entry]] = []  # with their places in the result
        pos, topic, add, keep = self.pos, "", self._rows.append, made.append
        for draft, (type_, key, headers, content, size) in zip(drafts, forms, strict=True):
            if draft.topic != topic:
                topic = draft.topic
                account = self.touched.get(topic) or self.account(topic)
            seq, given = account.end, draft.id
            if given is not None:
                kept = self._find(account, draft, given, now)
                if kept is not None or (adopted and self._is_adopted(account, given)):
                    if kept is not None and not adopted:
                        known.append((len(known) + len(made), kept))
                    continue
            uid = account.uid if given is None else given
            message: Message[Any] = Message(
                draft.content, topic, seq, uid, draft.time, draft.headers, draft.type, size, draft.key
            )
            if given is not None:
                self._ids.append((account.id, given, seq, now))
                self._fresh[account.id, given] = message
            account.end = seq + 1
            account.total = total = account.total + size
            add((pos, account.id, seq, given, draft.time, type_, key, headers, content, total))
            keep(message)
            pos += 1
        self.pos = pos
        self.entries += made
        for place, kept in known:
            made.insert(place, kept)
        return made

    def move(self, topic: str, id: str, time: float, form: Form) -> None:
        """Store a message whose content was stored before, unless its id is known."""
        account = self.touched.get(topic) or self.account(topic)
        if self._find(account, Draft(None, topic, id, time), id, time) is not None:
            return
        seq = account.end
        self._ids.append((account.id, id, seq, time))
        account.end, account.total = seq + 1, account.total + form[4]
        self._rows.append((self.pos, account.id, seq, id, time, *form[:4], account.total))
        self.entries.append((self.pos, seq, id, time, *form[:4], topic, account.uid))
        self.decode = True
        self.pos += 1
        self.flush()  # a draft with the same id reads it from the file

    def _find(self, account: Account, draft: Draft, id: str, now: float) -> Entry | None:
        """Return the message of this topic with this id within the window, or None."""
        fresh = self._fresh.get((account.id, id))
        if fresh is not None:
            return fresh
        oldest = now - SECONDS
        found = self.connection.execute(
            "SELECT seq, time FROM telex_ids WHERE topic = ? AND id = ? AND time > ?", (account.id, id, oldest)
        ).fetchone()
        if found is None:
            return self._find_made(account, id, oldest)
        row = self._row(account, found[0])
        if row is None:  # retention has deleted the message, and its id is still known
            return Message(draft.content, draft.topic, found[0], id, found[1], draft.headers, draft.type)
        return row

    def _remember_adopted(self) -> None:
        """Create the table of adopted ids. Only files with adopted messages have it."""
        for statement in _ADOPTED:
            self.connection.execute(statement)

    def _is_adopted(self, account: Account, id: str) -> bool:
        """Return true when this topic has a message with this id, or adopted one, however long ago. Otherwise mark the
        id as adopted.
        """
        if self._find_made(account, id, float("-inf")) is not None:
            return True
        self.flush()
        found = self.connection.execute(_WITH_ID, (account.id, id)).fetchone()
        if found is not None and self._row(account, found[0]) is not None:
            return True
        marked = self.connection.execute("INSERT OR IGNORE INTO telex_adopted VALUES (?, ?)", (account.id, id))
        return not marked.rowcount

    def _find_made(self, account: Account, id: str, oldest: float) -> Entry | None:
        counter = uuid7_counter(id)
        if counter is None:
            return None
        # A made id counts from the topic's own number, so it names one message.
        seq = (counter - account.uid) % (1 << 74)
        if not account.first <= seq < account.end:
            return None
        self.flush()
        row = self._row(account, seq)
        if row is None or row[2] is not None or row[3] <= oldest or uuid7_text(counter, row[3]) != id:
            return None
        return row

    def _row(self, account: Account, seq: int) -> tuple[Any, ...] | None:
        sql = f"SELECT {rows.COLUMNS} FROM {rows.JOINED} WHERE m.topic = ? AND m.seq = ?"
        found = rows.select(self.connection, sql, (account.id, seq))
        return found[0] if found else None

    def flush(self) -> None:
        """Write the added messages to the tables."""
        if self._rows:
            rows.insert(self.connection, self._rows)
            self._rows.clear()
        if self._ids:
            # An id whose two minutes are over, and that was not deleted yet, may come again.
            self.connection.executemany("INSERT OR REPLACE INTO telex_ids VALUES (?, ?, ?, ?)", self._ids)
            self._ids.clear()
            self._prune = True

    def finish(self, now: float) -> None:
        """Write the rest, and the new ends of topics, at the end of a transaction that changed something."""
        self.flush()
        execute = self.connection.execute
        for account in self.touched.values():
            execute("UPDATE telex_topics SET end = ?, total = ? WHERE id = ?", (account.end, account.total, account.id))
        if self._prune:
            execute(_FORGET, (now - SECONDS,))
            self._prune = False
        self.commits += 1
        execute("UPDATE telex_state SET pos = ?, commits = ?", (self.pos, self.commits))
