"""`Origins`: the contexts in which messages were published, for the handlers of the same process.

A message whose publisher has set no context variable since the hub opened needs no context, and most do not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.message import Message

MAX_CONTEXTS = 10_000
"""Contexts that are kept, the newest: nobody asks for those of messages that a handler lost."""


class Origins:
    """The contexts of messages that are not handled yet.

    Invariant: an entry goes when every reader of its message is done with it, or `MAX_CONTEXTS` newer ones are there.
    """

    def __init__(self, *, needed: bool) -> None:
        self.known: dict[Message[Any], tuple[Context, int]] = {}
        self._needed = needed
        self._plain = self._base = Context()
        self._readers: dict[Log, dict[object, object]] = {}

    def open(self, plain: Context, base: Context) -> None:
        """Set the contexts that need not be kept. Called before `read`."""
        self._plain, self._base = plain, base

    def read(self, log: Log, reader: object, share: object) -> None:
        """Keep the contexts of the messages of ``log``, until ``reader`` has called `done` for each.

        Readers with the same ``share`` call `done` once for all of them. No context is kept unless ``needed``: a
        message that comes from a store has none.
        """
        if self._needed:
            self._readers.setdefault(log, {})[reader] = share
            self._tell(log)

    def leave(self, log: Log, reader: object) -> None:
        """Undo `read`. May be called twice."""
        readers = self._readers.get(log)
        if readers is not None and readers.pop(reader, None) is not None:
            self._tell(log)

    def _tell(self, log: Log) -> None:
        count = len(set(self._readers[log].values()))
        log.tell(self._noter(count) if count else None)
        if not count:
            del self._readers[log]

    def _noter(self, readers: int) -> Callable[[Message[Any]], None]:
        """Return the function that a log calls for each message, in the publisher's context. It makes no calls of
        telex: it runs for every message.
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
            if len(known) > MAX_CONTEXTS:
                del known[next(iter(known))]

        return note

    def of(self, message: Message[Any]) -> Context | None:
        """A copy of the context in which a message was published; None where the hub's own does."""
        found = self.known.get(message)
        return None if found is None else found[0].copy()

    def done(self, message: Message[Any]) -> None:
        """Note that a reader, or a share of readers, has handled a message."""
        found = self.known.get(message)
        if found is None:
            return
        if found[1] > 1:
            self.known[message] = (found[0], found[1] - 1)
        else:
            del self.known[message]
