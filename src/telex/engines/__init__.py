"""The engines: their contract (`telex.engines.contract`), and the engine that a URL names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time

from telex.engines.contract import (
    DeadLetter,
    Decoder,
    Delivery,
    Engine,
    EngineEvents,
    EngineTransaction,
    Extent,
    Fetched,
    FoundStart,
    GroupInfo,
    Groups,
    Guarantees,
    Record,
    Records,
    Settlement,
    SqlTransaction,
    Store,
    TransactionOutbox,
)
from telex.engines.interest import Interest
from telex.errors import BadOption
from telex.log.log import Log, Retention
from telex.log.start import Start
from telex.message import Draft
from telex.names import shown_url

__all__ = [
    "DeadLetter",
    "Decoder",
    "Delivery",
    "Draft",
    "Engine",
    "EngineEvents",
    "EngineTransaction",
    "Extent",
    "Fetched",
    "FoundStart",
    "GroupInfo",
    "Groups",
    "Guarantees",
    "Interest",
    "Log",
    "Record",
    "Records",
    "Retention",
    "Settlement",
    "SqlTransaction",
    "Start",
    "Store",
    "TransactionOutbox",
    "engine_for",
]


def engine_for(url: str | Engine, clock: Callable[[], float] = time) -> Engine:
    """Return the engine that a URL names, or the given engine. ``clock`` is for engines of one process.

    An engine of another package is found by the entry point ``telex.engines`` with the URL's scheme as its name: a
    function of the URL that returns the engine. Raises `BadOption` for an unknown scheme, and for other values.
    """
    if not callable(clock):
        raise BadOption("clock", clock, "it must be a function such as time.time, or a telex.testing VirtualClock")
    if not isinstance(url, str):
        if not hasattr(url, "guarantees"):
            raise BadOption("url", url, "it must be text such as 'memory://', or an engine")
        return url
    scheme, colon, address = url.partition("://")
    if scheme == "memory":
        from telex.engines.memory.engine import MemoryEngine

        if address or not colon:
            raise BadOption("url", url, "the memory engine has no address; write 'memory://'")
        return MemoryEngine(clock=clock)
    make = _MAKERS.get(scheme) or _of_another_package(scheme)
    if make is None or not colon:
        shown = f"{scheme}://..." if colon else shown_url(url)  # an address may hold a password
        package = f", or install the package of the engine for {scheme!r}" if colon else ""
        raise BadOption("url", shown, f"write {KNOWN}{package}")
    return make(url)


KNOWN = "'memory://', 'sqlite:///file.db' or 'postgresql://user@host/database'"
Maker = Callable[[str], Engine]
"""A function that returns the engine of a URL, without opening it."""


def _sqlite(url: str) -> Engine:
    from telex.engines.sqlite import SQLiteEngine

    return SQLiteEngine.from_url(url)


def _postgres(url: str) -> Engine:
    try:
        from telex.engines.postgres import PostgresEngine
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}; pip install 'telex[postgres]'", name=error.name) from None

    return PostgresEngine.from_url(url)


_MAKERS: Mapping[str, Maker] = {"sqlite": _sqlite, "postgresql": _postgres, "postgres": _postgres}


def _of_another_package(scheme: str) -> Maker | None:
    from importlib.metadata import entry_points  # takes a tenth of the time of `import telex`

    for found in entry_points(group="telex.engines", name=scheme):
        make: Maker = found.load()
        return make
    return None
