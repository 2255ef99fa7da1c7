"""`Runtime`: what the parts of the engine share."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from telex.engines import Feed
from telex.message import Message

R = TypeVar("R")


class Head(msgspec.Struct):
    """A topic as it was told to the feed."""

    id: int
    name: str
    epoch: str
    uid: int
    end: int
    first: int


class Runtime:
    """The open file: its threads, and what is known of it in the event loop."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.feed: Feed
        self.heads: dict[str, Head] = {}  # by name
        self.by_id: dict[int, Head] = {}

    async def write(self, function: Callable[[sqlite3.Connection, float], R]) -> R:
        """Call ``function(connection, now)`` in the thread that writes, inside its next transaction, together with all
        that waits for it; returns what it returned, once that is committed.

        When it raises, only what it did itself is undone, and its caller gets the error. Raises `EngineFailed` when
        the transaction was not committed, `Closed` after `close`.
        """
        raise NotImplementedError

    async def read(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Call ``function(connection)`` in the thread that reads, in one read transaction; returns what it returned."""
        raise NotImplementedError

    def message(self, row: tuple[Any, ...]) -> Message[Any]:
        """A row of ``SELECT {rows.COLUMNS} FROM {rows.JOINED}`` as a message. In the event loop."""
        raise NotImplementedError
