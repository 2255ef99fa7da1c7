"""`PendingRequests`: what a hub has sent under a key, and of which it has not heard what became; `Sightings`: what it
has seen that others run.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from telex.commands.outcome import Outcome
from telex.errors import InProgress
from telex.once.machine import LeaseObservation, watch

MOST = 10_000
"""Of so many keys it is known; of more, only of the newest."""


class PendingRequest(msgspec.Struct, eq=False):
    """A command that was sent."""

    mark: str
    """The fingerprint of its content."""
    deadline: float | None
    """When it is dropped if it was not begun, by `Engine.now`."""
    id: str = ""
    """Known as soon as it is kept."""


class PendingRequests:
    """The commands that run once and that one hub has sent, until it hears of their outcomes. What is accepted and not
    begun has no record yet: who sent it is the only one that knows of it.
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[str, str], list[PendingRequest]] = OrderedDict()

    def begin(self, name: str, key: str, sent: PendingRequest) -> None:
        """It is being sent: with its first write it may be in the hands of a worker."""
        self._sent.setdefault((name, key), []).append(sent)
        while len(self._sent) > MOST:
            self._sent.popitem(last=False)

    def has(self, name: str, key: str, mark: str, now: float) -> bool:
        """Whether one with this key and content was sent, and may still be begun at ``now``."""
        return any(
            sent.mark == mark and (sent.deadline is None or now <= sent.deadline)
            for sent in self._sent.get((name, key), ())
        )

    def end(self, name: str, key: str, sent: PendingRequest) -> None:
        """It was not sent, or its outcome is there."""
        left = [other for other in self._sent.get((name, key), ()) if other is not sent]
        if left:
            self._sent[name, key] = left
        else:
            self._sent.pop((name, key), None)

    def settle(self, outcome: Outcome[object]) -> None:
        """The outcome of one is there."""
        key = outcome.key or ""
        for sent in self._sent.get((outcome.command, key), ()):
            if sent.id == outcome.id:
                return self.end(outcome.command, key, sent)
        return None

    def clear(self) -> None:
        """Outcomes were lost: nothing is known of any."""
        self._sent.clear()


class Sightings:
    """The keys that a sender who does not wait has found running, each with the `LeaseObservation` of its record: of a
    worker that is dead nothing else tells.
    """

    def __init__(self) -> None:
        self._watches: OrderedDict[tuple[str, str], LeaseObservation] = OrderedDict()

    def check(self, name: str, key: str, lease: float, revision: int, now: float) -> None:
        """Raises `InProgress` for a key that is running, unless its lease has run out since it was seen first; ``now``
        by the monotonic clock of this process.
        """
        seen = watch(self._watches.pop((name, key), None), revision, now)
        self._watches[name, key] = seen
        if len(self._watches) > MOST:
            self._watches.popitem(last=False)
        if not seen.lapsed(lease, now):
            raise InProgress(name, key)
