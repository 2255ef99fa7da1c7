"""Commands that run once: one recorded outcome for each key.

`machine` decides, in pure functions; `OnceStore` is where its records are; `PostgresStore` keeps them in PostgreSQL.
"""

from __future__ import annotations

from telex.once.machine import Entry, Failure
from telex.once.postgres import PostgresStore
from telex.once.store import OnceStore, OnceTransaction

__all__ = ["Entry", "Failure", "OnceStore", "OnceTransaction", "PostgresStore"]
