"""`PendingRequests`: the commands that a hub has sent under a key; `Sightings`: the keys that it has found running."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

import msgspec

from telex.commands.outcome import Outcome
from telex.errors import InProgress
from telex.once.machine import Entry, LeaseObservation, watch

MAX_KEYS = 10_000
"""The number of keys that are kept; the oldest are forgotten."""


class PendingRequest(msgspec.Struct, eq=False):
    """A sent command. Its ``deadline`` is by `Engine.now`, and its ``id`` is known once the engine has stored the
    command.
    """

    fingerprint: str
    deadline: float | None
    id: str = ""


class PendingRequests:
    """The commands with ``once=True`` that one hub has sent, and whose outcomes have not come. A command that no worker
    has begun has no record, so only its sender knows about it.
    """

    def __init__(self) -> None:
        self.by_key: OrderedDict[tuple[str, str], list[PendingRequest]] = OrderedDict()

    def begin(self, name: str, key: str, sent: PendingRequest) -> None:
        """Add a command before it is stored, since a worker may get it at once."""
        self.by_key.setdefault((name, key), []).append(sent)
        while len(self.by_key) > MAX_KEYS:
            self.by_key.popitem(last=False)

    def has(self, name: str, key: str, fingerprint: str, now: float) -> bool:
        """Return true when a command with this key and content was sent, and may still begin at ``now``."""
        return any(
            sent.fingerprint == fingerprint and (sent.deadline is None or now <= sent.deadline)
            for sent in self.by_key.get((name, key), ())
        )

    def end(self, name: str, key: str, sent: PendingRequest) -> None:
        """Remove a command that was not sent, or that has its outcome."""
        left = [other for other in self.by_key.get((name, key), ()) if other is not sent]
        if left:
            self.by_key[name, key] = left
        else:
            self.by_key.pop((name, key), None)

    def settle(self, outcome: Outcome[object]) -> None:
        """Remove the command of an outcome."""
        key = outcome.key or ""
        for sent in self.by_key.get((outcome.command, key), ()):
            if sent.id == outcome.id:
                return self.end(outcome.command, key, sent)
        return None

    def clear(self) -> None:
        """Remove all commands, since outcomes were lost."""
        self.by_key.clear()


class Sightings:
    """The keys that senders with ``duplicate="reject"`` have found running, each with the `LeaseObservation` of its
    record, which shows when a worker is dead.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], LeaseObservation] = OrderedDict()

    def check(self, name: str, key: str, entry: Entry, revision: int) -> None:
        """Raise `InProgress` for a key that is running, unless its lease has run out since this hub saw it first."""
        if entry.state != "running":
            return
        now = monotonic()
        seen = watch(self._seen.pop((name, key), None), revision, now)
        self._seen[name, key] = seen
        if len(self._seen) > MAX_KEYS:
            self._seen.popitem(last=False)
        if not seen.lapsed(entry.lease, now):
            raise InProgress(name, key)
