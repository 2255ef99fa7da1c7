"""A carrier of text messages that is none: it charges for each message, in a file of its own, and never asks whether it
has had the message before. So whoever sends a message twice pays twice.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

CENTS = 7


def send(folder: Path, number: str, text: str) -> None:
    """Send a message, and charge for it."""
    with closing(_opened(folder)) as connection, connection:
        connection.execute("INSERT INTO charges (number, text, cents) VALUES (?, ?, ?)", (number, text, CENTS))


def charges(folder: Path) -> list[tuple[str, str, int]]:
    """The charged messages: number, text, cents."""
    with closing(_opened(folder)) as connection:
        return connection.execute("SELECT number, text, cents FROM charges ORDER BY rowid").fetchall()


def _opened(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "carrier.db", timeout=30)
    connection.execute("CREATE TABLE IF NOT EXISTS charges (number TEXT, text TEXT, cents INTEGER)")
    return connection
