"""Commands that run once: one recorded outcome for each key.

`machine` decides in pure functions, `OnceStore` is the protocol of a store of records, and `PostgresStore` is one.
"""

from __future__ import annotations

from telex.once.machine import Entry, Failure
from telex.once.postgres import PostgresStore
from telex.once.store import OnceStore, OnceTransaction

__all__ = ["Entry", "Failure", "OnceStore", "OnceTransaction", "PostgresStore"]
