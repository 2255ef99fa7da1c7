"""What topics keep: the rules of the file, what they show to readers, and deleting what is not kept any more."""

from __future__ import annotations

import sqlite3


def release(connection: sqlite3.Connection, pos: int) -> None:
    """Nothing holds message ``pos`` for a group any more: delete it, if its topic kept it only for that."""
