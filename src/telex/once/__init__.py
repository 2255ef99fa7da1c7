"""Commands that run once: one recorded outcome for each key.

`machine` decides in pure functions, `OnceStore` is the protocol of a store of records, and `PostgresStore` is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.once.machine import Entry, Failure
from telex.once.store import OnceStore, OnceTransaction

__all__ = ["Entry", "Failure", "OnceStore", "OnceTransaction", "PostgresStore"]

if TYPE_CHECKING:
    from telex.engines.postgres.once_store import PostgresStore as PostgresStore


def __getattr__(name: str) -> object:
    # The store belongs to the engine of PostgreSQL, which needs psycopg: it is loaded when it is asked for.
    if name != "PostgresStore":
        raise AttributeError(f"module 'telex.once' has no attribute {name!r}")
    from importlib import import_module

    try:
        return import_module("telex.engines.postgres.once_store").PostgresStore
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}; pip install 'telex[postgres]'", name=error.name) from None
