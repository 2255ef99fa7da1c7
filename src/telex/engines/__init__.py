"""Where logs are kept: the contract of an engine (`telex.engines.contract`), and the engine that a URL names."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from telex.engines.contract import (
    Claimed,
    DeadLetter,
    Delivery,
    Engine,
    EngineEvents,
    EngineTransaction,
    GroupInfo,
    Groups,
    Guarantees,
    Record,
    Records,
    Settlement,
    Store,
    TransactionOutbox,
)
from telex.errors import BadOption

__all__ = [
    "Claimed",
    "DeadLetter",
    "Delivery",
    "Engine",
    "EngineEvents",
    "EngineTransaction",
    "GroupInfo",
    "Groups",
    "Guarantees",
    "Record",
    "Records",
    "Settlement",
    "Store",
    "TransactionOutbox",
    "engine_for",
]


def engine_for(url: str, clock: Callable[[], float] = time) -> Engine:
    """The engine that a URL names; ``clock`` is for those of one process. Raises `BadOption` when telex knows none."""
    scheme, colon, address = url.partition("://")
    if scheme == "memory":
        from telex.engines.memory.engine import MemoryEngine

        if address or not colon:
            raise BadOption("url", url, "the engine in memory has no address; write 'memory://'")
        return MemoryEngine(clock=clock)
    if scheme == "sqlite" and colon:
        from telex.engines.sqlite import SQLiteEngine

        return SQLiteEngine.from_url(url)
    if scheme in ("postgresql", "postgres") and colon:
        try:
            from telex.engines.postgres import PostgresEngine
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error}; pip install 'telex[postgres]'", name=error.name) from None

        return PostgresEngine.from_url(url)
    shown = f"{scheme}://..." if colon else url  # an address may hold a password
    raise BadOption(
        "url",
        shown,
        "the engines of this version are 'memory://', 'sqlite:///file.db' and 'postgresql://user@host/database'",
    )
