"""The statements that read messages, and the decoding of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telex.engines import forms
from telex.message import Message
from telex.names import is_pattern

OWN = "m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, m.data"
_STATE = """
SELECT extract(epoch FROM clock_timestamp())::float8, s.epoch, s.removals, s.rules,
    coalesce((SELECT m.pos FROM {s}.messages m ORDER BY m.pos DESC LIMIT 1), 0),
    (SELECT min(d.due) FROM {s}.delayed d), pg_snapshot_xmin(pg_current_snapshot())::text,
    (SELECT array_agg(g.pattern) FROM {s}.groups g WHERE g.stirred >= %s::text::xid8)
FROM {s}.state s
"""
_TOPICS = "SELECT t.id, t.name, t.epoch, t.first, {s}.head_of(t.id) FROM {s}.topics t"
_REMOVED = "SELECT r.name, r.times FROM {s}.removed r"
_RULES = "SELECT r.pattern, r.messages, r.age, r.bytes FROM {s}.rules r ORDER BY r.ord"
_CHANGED = "SELECT * FROM {s}.read_changed(%s::bigint, %s::bigint)"
_MESSAGES = "SELECT * FROM {s}.read_live(%s::bigint, %s::bigint, %s::bigint[])"
_ONE = f"""SELECT t.epoch, {OWN} FROM {{s}}.topics t JOIN {{s}}.messages m ON m.topic = t.id
    WHERE t.name = %s AND m.seq = %s::bigint"""


class LiveStatements:
    """The statements of `LiveReader` for one schema."""

    def __init__(self, schema: str) -> None:
        def of(text: str) -> bytes:
            return text.replace("{s}", schema).encode()

        self.state: bytes = of(_STATE)
        self.topics: bytes = of(_TOPICS)
        self.removed: bytes = of(_REMOVED)
        self.rules: bytes = rules(schema)
        self.changed: bytes = of(_CHANGED)
        self.messages: bytes = of(_MESSAGES)
        self.one: bytes = of(_ONE)


def rules(schema: str) -> bytes:
    """Return the statement that reads the retention rules; the rule that applies comes last."""
    return _RULES.replace("{s}", schema).encode()


def decode(found: Sequence[tuple[Any, ...]], name: str, uid: int, shape: forms.Shape | None) -> list[Message[Any]]:
    """Make messages of rows. The first column of a row is ignored; the others are those of `OWN`.

    Content that cannot be decoded is `Unreadable`, and the list is `Damaged`.
    """
    plain = [(*row[:7], row[8] if row[7] is None else row[7]) for row in found]
    return forms.decode(plain, name, uid, shape)


def regular_expression(pattern: str) -> str | None:
    """Return a pattern of topics as PostgreSQL's regular expression; None for the id of one topic."""
    if not is_pattern(pattern):
        return None
    tokens = ["[^:]+" if token == "*" else ".+" if token == ">" else escaped(token) for token in pattern.split(":")]
    return f"^{':'.join(tokens)}$"


def escaped(token: str) -> str:
    """Return text as a regular expression that matches it."""
    return "".join(c if c.isalnum() or c == "_" or not c.isascii() else f"\\{c}" for c in token)
