"""`Invocation`: a command in the process that carries it out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import time
from typing import Any

import msgspec

from telex.commands.outcome import Progress
from telex.commands.plan import Priority
from telex.commands.progress import ProgressThrottle
from telex.commands.ticket import PendingOutcome
from telex.handlers.context import Context
from telex.message import Message, check_headers

UNKNOWN_HUB = "?"
"""The `Invocation.canceller` of a cancellation whose hub is not known."""
Report = Callable[["Invocation", Progress], None]


class Invocation(msgspec.Struct, eq=False):
    """A command in the process that carries it out, from its acceptance to its outcome."""

    command: str
    content: Any
    id: str
    key: str | None
    hub: Any
    report: Report
    fingerprint: str = ""
    """The fingerprint of the content; empty for a command that does not run once."""
    pending: PendingOutcome[Any] | None = None
    """The outcome that a sender in this hub waits for."""
    carried: Mapping[str, str] | None = None
    """The headers that go from the sender into the messages of the handler."""
    inbox: str = ""
    """The id of the hub whose sender waits."""
    sent: Message[Any] | None = None
    """The message with the command, as it was sent: its content is not converted to the type of the handler."""
    deadline: float | None = None
    """The time of the deadline in seconds since 1970, for people."""
    until: float | None = None
    """The time of the deadline by the clock of the event loop; this time decides."""
    attempt: int = 1
    fence: int = 0
    tx: Any = None
    task: asyncio.Task[Any] | None = None
    cause: BaseException | None = None
    """The exception that the handler raised."""
    cancelled: bool = False
    """True when the command is cancelled."""
    canceller: str = ""
    """The id of the hub that has cancelled the command; ``inbox`` has that of the sender. Both are empty in memory."""
    lost: bool = False
    """True when another worker has the key now."""
    delivery: Context[Any] | None = None
    """The delivery of the command from the engine."""
    redelivered: bool = False
    """True when another worker had the command before, and may have begun it."""
    announced: bool = False
    """True when the outcome was published in the transaction of the handler."""
    throttle: ProgressThrottle | None = None
    counted: bool = False
    """True while it counts as one of the calls that a worker runs."""
    priority: Priority = "normal"
    due: float | None = None
    """The time before which the command does not begin, in seconds since 1970."""
    recorded: bool = False
    """True when the command may have a record of its own: it was delayed or retried."""
    sent_at: float | None = None
    """The time of sending in seconds since 1970, where it is known."""
    limited: bool = False
    """True while it waits for the limit of its command."""
    again_in: float | None = None
    """The seconds until the next attempt, as the `Nack` of the last attempt says."""
    before: int = 0
    """The number of attempts before the last retry by `Hub.retry`."""

    def expire_in(self, limit: float) -> None:
        """Set the deadline to ``limit`` seconds from now."""
        self.deadline, self.until = time() + limit, asyncio.get_running_loop().time() + limit

    @property
    def message(self) -> Message[Any]:
        """The command as a message, with the content that the handler takes."""
        if self.sent is None:
            self.sent = Message(
                self.content, f"$command:{self.command}:request", 0, self.id, 0.0, check_headers(self.carried)
            )
        if self.sent.content is not self.content:
            return msgspec.structs.replace(self.sent, content=self.content)
        return self.sent

    @property
    def is_late(self) -> bool:
        """True after the deadline."""
        return self.until is not None and asyncio.get_running_loop().time() > self.until

    def cancel(self, hub: str = "") -> None:
        """Cancel the command for a hub, before or during the call of the handler."""
        self.cancelled, self.canceller = True, hub
        if self.task is not None:
            self.task.cancel()

    def lose(self) -> None:
        """Cancel the handler: another worker has leased the key, so this result would be refused."""
        self.lost = True
        if self.task is not None:
            self.task.cancel()
