"""``memory://``: logs are lists of this process. An acknowledged message survives nothing but is never lost while it
runs.
"""

from __future__ import annotations

from secrets import randbits, token_hex
from typing import TYPE_CHECKING, Any

from telex.engines import Feed, Groups, Guarantees, Records, Store, Transaction
from telex.errors import BadOption
from telex.log import Log, Retention

if TYPE_CHECKING:
    from telex.message import Message


class MemoryEngine:
    """The engine of one process, without a server: the default, and what tests use. It keeps the contract of
    `Engine`.
    """

    guarantees: Guarantees = Guarantees(
        durable=False,
        shared=False,
        ordered=True,
        history=True,
        once_per_id=True,
        groups=False,
        records=False,
        delayed=False,
        transactions=False,
    )

    def __init__(self) -> None:
        self.store: Store | None = None
        self.groups: Groups | None = None
        self.records: Records | None = None

    async def open(self, feed: Feed) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """The logs go with the hub that holds them."""

    def log(self, topic: str, retention: Retention) -> Log:
        """A list that begins now."""
        return Log(topic, token_hex(6), retention, randbits(74))

    async def later(self, message: Message[Any], due: float) -> Message[Any]:
        """Not yet."""
        raise BadOption("delay", due, "this engine does not publish later")

    def transaction(self) -> Transaction:
        """Not yet."""
        raise BadOption("transaction", self, "this engine has no transactions")
