"""A summary of the topics of a file, for ``telex topics``."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from time import time

from telex.engines.sqlite import problems, upkeep
from telex.engines.sqlite.retention import RetentionRules, look
from telex.engines.summary import TopicSummary
from telex.errors import EngineFailed


def summaries(path: str | Path) -> list[TopicSummary]:
    """Return all topics of a file, sorted by name. It changes nothing.

    Raises `ConnectFailed` when the file does not exist or is not of telex; `EngineFailed` when it is damaged.
    """
    with upkeep.opened(path, "ro") as connection:
        try:
            rules = RetentionRules()
            rules.refresh(connection, 0)
            names = [row[0] for row in connection.execute("SELECT name FROM telex_topics ORDER BY name")]
            return [found for name in names if (found := _summary(connection, name, rules)) is not None]
        except sqlite3.DatabaseError as error:
            raise EngineFailed(f"reading {path}", problems.explain(error)) from None


def _summary(connection: sqlite3.Connection, name: str, rules: RetentionRules) -> TopicSummary | None:
    kept = look(connection, name, rules, time())
    if kept is None:
        return None
    sql = "SELECT time, total FROM telex_messages WHERE topic = ? AND seq = ?"
    row = connection.execute(sql, (kept.id, kept.end - 1)).fetchone() if kept.end > kept.first else None
    if row is None:
        return TopicSummary(name, 0, 0, None)
    return TopicSummary(name, kept.end - kept.first, row[1] - kept.gone, datetime.fromtimestamp(row[0], UTC))
