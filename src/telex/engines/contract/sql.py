"""`SqlTransaction`: statements of the program's own in a transaction of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

R = TypeVar("R")


class SqlTransaction(Protocol):
    """The part of an `EngineTransaction` that only engines with `Guarantees.sql` have."""

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function`` with the engine's own connection (SQLite: a `sqlite3.Connection`), in the thread that the
        connection belongs to, inside the transaction. Raises what ``function`` raises."""

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement in the transaction, and return its rows."""
