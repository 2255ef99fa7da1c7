"""`TransactionOutbox`: messages that a program writes in a transaction of its own connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from telex.message import Draft

Statement = tuple[str, Mapping[str, object]]
"""SQL with named parameters, written ``{name}``, and their values."""


class TransactionOutbox(Protocol):
    """The statements that put a message into the outbox of an engine's database.

    The program executes them with its own connection in its own transaction. An engine that is open on the database
    publishes the messages after the commit, in the order of `write`. After a rollback there are no messages.
    """

    def write(self, draft: Draft, due: float | None, group: str | None = None) -> Sequence[Statement]:
        """Return the statements that write ``draft``, to be published after the commit and not before ``due`` (seconds
        since 1970). The ``group`` on its topic is created before the message is published, unless it exists, so that
        the topic keeps the message for it. Raises `ContentError`.
        """
