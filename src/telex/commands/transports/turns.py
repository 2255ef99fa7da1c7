"""`TurnBudget`: how many commands of a hub are carried out within one turn of the event loop."""

from __future__ import annotations

from time import monotonic

from telex.topics.publisher import FAIR

MAX_TURN_SECONDS = 0.005
"""The time for which calls are carried out within the turn of their senders before other tasks run."""


class TurnBudget:
    """The current turn of the event loop. Calls whose handlers never wait take no other turn."""

    __slots__ = ("_calls", "began", "nested", "scheduled")

    def __init__(self) -> None:
        self.nested: bool = False
        """True while a handler is called within the turn of its sender: it calls no other handler within it."""
        self.scheduled: int = 0
        """The number of accepted commands that begin in another turn: none is begun before them."""
        self.began: float = 0.0
        self._calls = 0

    def offers(self) -> bool:
        """Count one more call, and return whether it may be carried out within this turn."""
        self._calls += 1
        return self._calls < FAIR and monotonic() - self.began < MAX_TURN_SECONDS

    def begin(self) -> None:
        """Note that a new turn has begun."""
        self._calls, self.began = 0, monotonic()
