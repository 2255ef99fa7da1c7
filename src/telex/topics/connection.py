"""`EngineConnection`: the state of a hub's connection to its engine, published to a topic and logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

logger: logging.Logger = logging.getLogger("telex")
KEPT_CHANGES = 100
"""The number of changes that the topic keeps."""


class ConnectionChange(msgspec.Struct, frozen=True):
    """The content of a message of the topic ``$connection``: the hub has reached its engine, or has lost it."""

    state: Literal["connected", "disconnected"]
    reason: str
    """The cause of the disconnection and how to fix it. Empty when connected."""
    since: datetime
    """The time of the change by the clock of the process, aware, in UTC."""


class EngineConnection:
    """The state of a hub's connection to its engine: disconnected before `opened`. Used in the event loop of the hub.

    ``publish`` publishes a change to the topic ``$connection`` of this process.
    """

    def __init__(
        self, publish: Callable[[ConnectionChange, float], None], address: str, clock: Callable[[], float]
    ) -> None:
        self._publish = publish
        self.connected: bool = False
        """True while the engine is reached."""
        self._address = address
        self._clock = clock
        self._reason = ""
        self._since: float | None = None  # the time of the last change; None before the hub is open
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def problem(self) -> str:
        """The reason why the engine is not reached, since when, and how to fix it; empty while it is reached."""
        if self.connected or not self._reason:
            return ""
        if self._since is None:
            return self._reason
        return f"the connection to {self._address} has been lost since {_time(self._since)}: {self._reason}"

    def opened(self) -> None:
        """Note that the engine is open."""
        self._change("connected", "")

    def lost(self, reason: str) -> None:
        """Note that the engine is not reached. Before `opened`, only the reason is kept, for the error of opening."""
        if self._since is None:
            self._reason = reason
        elif self.connected:
            self._change("disconnected", reason)
            logger.warning("the connection to %s is lost, and telex tries to restore it: %s", self._address, reason)
        else:
            self._reason = reason

    def restored(self) -> None:
        """Note that the engine is reached again."""
        if self._since is None or self.connected:
            return
        before = self._since
        self._change("connected", "")
        logger.info("the connection to %s is restored after %.1f s", self._address, self._clock() - before)

    def ended(self, reason: str) -> None:
        """Note that the engine is not reached any more, and will not be."""
        if self.connected:
            self._change("disconnected", reason)
        self._wake()

    async def wait(self) -> None:
        """Wait until the engine is reached, or certainly will not be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def _change(self, state: Literal["connected", "disconnected"], reason: str) -> None:
        self.connected, self._reason, self._since = state == "connected", reason, self._clock()
        self._publish(ConnectionChange(state, reason, datetime.fromtimestamp(self._since, UTC)), self._since)
        if self.connected:
            self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
