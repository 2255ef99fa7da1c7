"""Where logs are kept. An engine opens and closes, and hands out the log of a topic; all else is above it.

What an engine promises is said by its `Guarantees`, and by nothing else.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from telex.errors import BadOption
from telex.log import Log, Retention


class Guarantees(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine declares."""

    durable: bool
    """An acknowledged message survives the end of the process."""
    shared: bool
    """Other processes see the same topics."""
    ordered: bool
    """The messages of one publisher to one topic keep their order."""
    history: bool
    """What retention keeps can be read again."""


class Engine(Protocol):
    """The contract. All calls come from the event loop of one hub.

    `open` comes first and once, `close` last and once, also after an `open` that failed or was cancelled.
    """

    guarantees: Guarantees

    async def open(self) -> None:
        """Connect. Cancelled or failed, it leaves nothing behind. Raises `ConnectFailed`."""

    async def close(self) -> None:
        """Let go of everything, at once."""

    def log(self, topic: str, retention: Retention) -> Log:
        """A new log for a topic, that counts in an epoch of its own."""


def engine_for(url: str) -> Engine:
    """The engine that a URL names. Raises `BadOption` for one that telex does not know."""
    from telex.engines.memory import MemoryEngine

    scheme, colon, address = url.partition("://")
    if scheme == "memory":
        if address or not colon:
            raise BadOption("url", url, "the engine in memory has no address; write 'memory://'")
        return MemoryEngine()
    shown = f"{scheme}://..." if colon else url  # an address may hold a password
    raise BadOption("url", shown, "the engine of this version is 'memory://'")
