"""`FileOutbox`: messages that a program writes into the file with a connection of its own.

The outbox is the table of delayed messages. Rows that are due at once have the time 0, so that their order is that of
writing; SQLite has one writer at a time, so that is the order of commits too.
"""

from __future__ import annotations

from collections.abc import Sequence

from telex.engines import forms
from telex.engines.contract.outbox import Statement
from telex.engines.sqlite import rows
from telex.message import Draft

_WRITE = """INSERT INTO telex_delayed (due, topic, id, time, type, key, headers, content, size)
    SELECT {due}, {topic}, {id}, {time}, {type}, {key}, {headers}, {content}, {size}
    WHERE NOT EXISTS (SELECT 1 FROM telex_delayed WHERE topic = {topic} AND id = {id})"""
_JOIN = """INSERT OR IGNORE INTO telex_groups (name, pattern, floor) SELECT {group}, {topic}, coalesce(
    (SELECT min(m.pos) FROM telex_messages m JOIN telex_topics t ON t.id = m.topic WHERE t.name = {topic}),
    (SELECT max(s.pos, coalesce((SELECT max(pos) + 1 FROM telex_messages), 0)) FROM telex_state s))
    WHERE NOT EXISTS (SELECT 1 FROM telex_groups WHERE name = {group} AND pattern = {topic})"""
_TELL = "UPDATE telex_state SET delays = delays + 1, commits = commits + 1"
"""An open engine compares these numbers to notice new messages."""


class FileOutbox:
    """The `telex.engines.contract.outbox.TransactionOutbox` of a file."""

    def write(self, draft: Draft, due: float | None, group: str | None = None) -> Sequence[Statement]:
        """Return the statements that write a draft, which has an id."""
        type_, key, headers, content, size = forms.encode(draft, rows.LARGEST)
        values: dict[str, object] = {"due": 0.0 if due is None else due, "topic": draft.topic, "id": draft.id}
        values |= {"time": draft.time, "type": type_, "key": key, "headers": headers, "content": content, "size": size}
        joins = () if group is None else ((_JOIN, {"group": group, "topic": draft.topic}),)
        return (*joins, (_WRITE, values), (_TELL, {}))
