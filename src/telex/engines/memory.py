"""``memory://``: logs are lists of this process. An acknowledged message survives nothing but is never lost while it
runs.
"""

from __future__ import annotations

from secrets import randbits, token_hex

from telex.engines import Guarantees
from telex.log import Log, Retention


class MemoryEngine:
    """The engine of one process, without a server: the default, and what tests use. It keeps the contract of
    `Engine`.
    """

    guarantees: Guarantees = Guarantees(durable=False, shared=False, ordered=True, history=True)

    async def open(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """The logs go with the hub that holds them."""

    def log(self, topic: str, retention: Retention) -> Log:
        """A list that begins now."""
        return Log(topic, token_hex(6), retention, randbits(74))
