"""`Origins`: the `contextvars` contexts in which messages were published, for the handlers of the same process.

Most publishers have set no context variable since the hub opened, and their messages need no context.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telex.message import Message
    from telex.topics.publisher import Publisher

MAX_CONTEXTS = 10_000
"""The number of contexts that are kept, the newest: no handler asks for the context of a lost message."""


class Origins:
    """The contexts of messages that are not handled yet.

    Invariant: an entry is removed when every reader of its message is done, or when `MAX_CONTEXTS` newer entries exist.
    """

    def __init__(self, *, needed: bool) -> None:
        self.known: dict[Message[Any], tuple[Context, int]] = {}
        self.needed: bool = needed
        """True where messages have contexts: the publishers are in this process."""
        self._plain = self._base = Context()
        self._readers: dict[Publisher, dict[object, object]] = {}

    def open(self, plain: Context, base: Context) -> None:
        """Set the contexts that need not be kept. Called before `read`."""
        self._plain, self._base = plain, base

    def read(self, publisher: Publisher, reader: object, share: object) -> None:
        """Keep the contexts of the messages of a topic or pattern, until ``reader`` has called `done` for each.

        Readers with the same ``share`` call `done` once for all of them. No context is kept unless ``needed``: a
        message that comes from a store has none.
        """
        if self.needed:
            self._readers.setdefault(publisher, {})[reader] = share
            self._tell(publisher)

    def leave(self, publisher: Publisher, reader: object) -> None:
        """Undo `read`. May be called twice."""
        readers = self._readers.get(publisher)
        if readers is not None and readers.pop(reader, None) is not None:
            self._tell(publisher)

    def _tell(self, publisher: Publisher) -> None:
        count = len(set(self._readers[publisher].values()))
        publisher.log.tell(self._noter(count) if count else None)
        if not count:
            del self._readers[publisher]

    def _noter(self, readers: int) -> Callable[[Message[Any]], None]:
        """Return the function that a log calls for each message, in the publisher's context. It makes no calls of
        telex, since it runs for every message.
        """
        plain, base, known = self._plain, self._base, self.known

        def note(message: Message[Any]) -> None:
            context = copy_context()
            try:
                if context == plain or context == base:  # noqa: SIM109  # a tuple costs more
                    return
            except Exception:  # noqa: BLE001  # values that cannot be compared count as different
                pass
            context, others = known.get(message, (context, 0))
            known[message] = (context, others + readers)
            if len(known) > MAX_CONTEXTS:
                del known[next(iter(known))]

        return note

    def of(self, message: Message[Any]) -> Context | None:
        """Return a copy of the context in which a message was published; None when the hub's own context is used."""
        found = self.known.get(message)
        return None if found is None else found[0].copy()

    def done(self, message: Message[Any]) -> None:
        """Note that a reader, or one of several with the same share, has handled a message."""
        found = self.known.get(message)
        if found is None:
            return
        if found[1] > 1:
            self.known[message] = (found[0], found[1] - 1)
        else:
            del self.known[message]
