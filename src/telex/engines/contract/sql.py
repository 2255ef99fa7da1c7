"""`SqlTransaction`: statements of the program in a transaction of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

R = TypeVar("R")


class SqlTransaction(Protocol):
    """The part of an `EngineTransaction` that only engines with `Guarantees.sql` have."""

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function`` with the engine's connection (SQLite: a `sqlite3.Connection`) inside the transaction, in
        the thread of the connection, and return its result. Raises the exceptions of ``function``."""

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement in the transaction, and return its rows."""
