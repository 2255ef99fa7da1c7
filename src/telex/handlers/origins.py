"""`Origins`: the contexts in which messages were published, for the handlers of this process that are called for them.

A message that is published where no context variable was set since the hub opened needs none, and most are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.message import Message

MOST = 10_000
"""So many contexts are known, the newest. Those of messages that a handler lost are not asked for any more."""


class Origins:
    """The contexts of messages that are not handled yet. ``plain`` are contexts that nobody needs to know.

    Invariant: an entry goes when every reader of its message is done with it, and when `MOST` newer ones are there.
    """

    def __init__(self, *, needed: bool) -> None:
        self.known: dict[Message[Any], tuple[Context, int]] = {}
        self._needed = needed
        self._plain = self._base = Context()
        self._readers: dict[Log, dict[object, object]] = {}

    def open(self, plain: Context, base: Context) -> None:
        """Before anything is read: contexts that are the same as one of these are not noted."""
        self._plain, self._base = plain, base

    def read(self, log: Log, reader: object, share: object) -> None:
        """``reader`` calls `of` and `done` for each message of ``log``; those with the same ``share`` do so together.
        Nothing is noted where it is not ``needed``: what comes from a store has no context.
        """
        if self._needed:
            self._readers.setdefault(log, {})[reader] = share
            self._tell(log)

    def leave(self, log: Log, reader: object) -> None:
        """It does so no more. Twice is fine."""
        readers = self._readers.get(log)
        if readers is not None and readers.pop(reader, None) is not None:
            self._tell(log)

    def _tell(self, log: Log) -> None:
        count = len(set(self._readers[log].values()))
        log.tell(self._noter(count) if count else None)
        if not count:
            del self._readers[log]

    def _noter(self, readers: int) -> Callable[[Message[Any]], None]:
        """What a log with so many readers calls for each message, in the publisher's context. In one function without
        calls, since it is called for every message.
        """
        plain, base, known = self._plain, self._base, self.known

        def note(message: Message[Any]) -> None:
            context = copy_context()
            try:
                if context == plain or context == base:  # noqa: SIM109  # a tuple costs more
                    return
            except Exception:  # noqa: BLE001  # values that cannot be compared are not the same
                pass
            context, others = known.get(message, (context, 0))
            known[message] = (context, others + readers)
            if len(known) > MOST:
                del known[next(iter(known))]

        return note

    def of(self, message: Message[Any]) -> Context | None:
        """A copy of the context in which it was published; None where that is as good as the hub's own."""
        found = self.known.get(message)
        return None if found is None else found[0].copy()

    def done(self, message: Message[Any]) -> None:
        """One of its readers needs it no more."""
        found = self.known.get(message)
        if found is None:
            return
        if found[1] > 1:
            self.known[message] = (found[0], found[1] - 1)
        else:
            del self.known[message]
