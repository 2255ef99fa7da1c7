"""`Invocation`: a command that was accepted in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time
from typing import Any

from telex.commands.outcome import Progress
from telex.commands.progress import ProgressThrottle
from telex.commands.ticket import PendingOutcome
from telex.message import Message

Report = Callable[["Invocation", Progress], None]


class Invocation:
    """A command in the process that carries it out, until it has its outcome.

    ``limit`` is the time in seconds that is left until its deadline. ``pending`` is the outcome that a sender in this
    hub waits for, and ``inbox`` the id of the hub whose sender waits.
    """

    __slots__ = (
        "_message",
        "announced",
        "attempt",
        "cancelled",
        "cause",
        "command",
        "content",
        "deadline",
        "fence",
        "fingerprint",
        "hub",
        "id",
        "inbox",
        "key",
        "lost",
        "pending",
        "redelivered",
        "report",
        "task",
        "throttle",
        "tx",
        "until",
    )

    def __init__(
        self,
        command: str,
        content: object,
        id: str,
        key: str | None,
        limit: float | None,
        hub: Any,
        report: Report,
        *,
        fingerprint: str = "",
        pending: PendingOutcome[Any] | None = None,
        inbox: str = "",
        message: Message[Any] | None = None,
    ) -> None:
        self.command: str = command
        self.content: Any = content
        self.id: str = id
        self.key: str | None = key
        self.hub: Any = hub
        self.report: Report = report
        self.fingerprint: str = fingerprint
        """The fingerprint of the content; empty for a command that does not run once."""
        self.pending: PendingOutcome[Any] | None = pending
        self.inbox: str = inbox
        # The clock of the computer may be set: it is shown to people, and the monotonic clock decides.
        self.deadline: float | None = None if limit is None else time() + limit
        self.until: float | None = None if limit is None else monotonic() + limit
        self.attempt: int = 1
        self.fence: int = 0
        self.tx: Any = None
        self.task: asyncio.Task[Any] | None = None
        self.cause: BaseException | None = None
        """The exception that the handler raised."""
        self.cancelled: bool = False
        """True when a sender has cancelled the command."""
        self.lost: bool = False
        """True when another worker has the key now."""
        self.redelivered: bool = False
        """True when another worker had the command before, and may have begun it."""
        self.announced: bool = False
        """True when the outcome was published in the transaction of the handler."""
        self.throttle: ProgressThrottle | None = None
        self._message = message

    @property
    def message(self) -> Message[Any]:
        """The command as a message."""
        if self._message is None:
            self._message = Message(self.content, f"$command:{self.command}:request", 0, self.id, 0.0, None, None)
        return self._message

    @property
    def is_late(self) -> bool:
        """True when the deadline is over."""
        return self.until is not None and monotonic() > self.until

    def cancel(self) -> None:
        """End the command for its sender, begun or not."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def lose(self) -> None:
        """Cancel the handler: another worker has the key, and this result would be refused."""
        self.lost = True
        if self.task is not None:
            self.task.cancel()
