"""`TurnBudget`: bounds the commands that one turn of the event loop carries out."""

from __future__ import annotations

from time import monotonic

from telex.topics.publisher import FAIR

MAX_TURN_SECONDS = 0.005
"""The time for which commands are carried out within one turn; after that other tasks run."""


class TurnBudget:
    """The current turn of the event loop. Handlers that never wait are called within the turn of their senders."""

    __slots__ = ("_began", "_calls", "nested", "scheduled", "spent")

    def __init__(self) -> None:
        self.nested: bool = False
        """True while a handler is called within the turn of its sender. A nested call is not made within this turn."""
        self.scheduled: int = 0
        """The number of accepted commands that begin in another turn. No command begins before them."""
        self.spent: bool = False
        """True when the next call has to be made in another turn."""
        self._began = monotonic()
        self._calls = 0

    def count(self) -> None:
        """Count a call that ended within this turn: its sender has not waited."""
        self._calls += 1
        self.spent = self._calls >= FAIR or monotonic() - self._began >= MAX_TURN_SECONDS

    def begin(self) -> None:
        """Note that a new turn has begun."""
        self.spent, self._calls, self._began = False, 0, monotonic()
