"""Messages as rows, and rows as messages."""

from __future__ import annotations

COLUMNS = "m.pos, m.seq, m.id, m.time, m.type, m.key, m.headers, m.content, t.name, t.uid"
JOINED = "telex_messages m JOIN telex_topics t ON t.id = m.topic"
"""``SELECT {COLUMNS} FROM {JOINED}`` is what `Runtime.message` reads. Messages of removed topics are not in it."""
