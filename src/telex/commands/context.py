"""`CommandContext`: the argument of a command's handler that describes the call."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any, Generic, NoReturn, TypeVar

from telex.commands.invocation import Invocation
from telex.commands.outcome import Progress
from telex.errors import BadOption, Misuse, text_of
from telex.message import Message

T = TypeVar("T")


class _Nothing:
    """The result of `CommandContext.progress`. It acts like None, but awaiting it raises an error with the fix."""

    __slots__ = ()

    def __await__(self) -> NoReturn:
        raise Misuse(
            "await ctx.progress(...)", "write ctx.progress(...) without await: it never waits, and has no result"
        )


_NOTHING = _Nothing()


class CommandContext(Generic[T]):
    """One call of a command's handler, passed to an argument that is annotated ``telex.CommandContext``."""

    __slots__ = ("_invocation", "_loop")

    def __init__(self, invocation: Invocation, loop: AbstractEventLoop | None = None) -> None:
        """Make a context. ``loop`` is the hub's loop for a function that runs in a thread."""
        self._invocation = invocation
        self._loop = loop

    @property
    def command(self) -> str:
        """The name of the command."""
        return self._invocation.command

    @property
    def content(self) -> T:
        """The content, of the type that the handler annotates."""
        content: T = self._invocation.content
        return content

    @property
    def id(self) -> str:
        """The id of the command. The `Ticket` and the `Outcome` have the same id."""
        return self._invocation.id

    @property
    def key(self) -> str | None:
        """The key under which the command was sent."""
        return self._invocation.key

    @property
    def deadline(self) -> float | None:
        """The time until which the sender waits, in seconds since 1970; None without a deadline."""
        return self._invocation.deadline

    @property
    def hub(self) -> Any:
        """The hub that carries out the command."""
        return self._invocation.hub

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._invocation.attempt

    @property
    def fence(self) -> int:
        """The fencing token: larger for every later attempt of the same key; 0 for a command that does not run once.
        Pass it to a system that the handler changes, so that the system can refuse smaller tokens.
        """
        return self._invocation.fence

    @property
    def lease_lost(self) -> bool:
        """True after the lease was lost: another worker may have begun the command, and the result of this call is
        refused. An async function is cancelled then, and a process is killed. A function that runs in a thread has to
        look here.
        """
        invocation = self._invocation
        return invocation.lost or (invocation.delivery is not None and invocation.delivery.lease_lost)

    @property
    def cancelled(self) -> bool:
        """True after a sender has cancelled the command. A function that runs in a thread has to look here."""
        return self._invocation.cancelled

    @property
    def tx(self) -> Any:
        """The transaction of a handler with an argument ``tx``; else None."""
        return self._invocation.tx

    @property
    def message(self) -> Message[T]:
        """The message with the command."""
        return self._invocation.message

    def progress(self, fraction: float, text: str = "") -> None:
        """Report progress to the sender and to followers: a ``fraction`` from 0 to 1, and a text for people.

        Call it without ``await``: it never waits. Of many reports in a short time only the last is published. A lone
        surrogate in the text is written as its escape. Raises `BadOption`.
        """
        if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise BadOption("fraction", fraction, "it must be from 0 to 1")
        invocation = self._invocation
        step = Progress(invocation.command, invocation.id, invocation.key, float(fraction), text_of(text))
        if self._loop is None:
            invocation.report(invocation, step)
        else:
            self._loop.call_soon_threadsafe(invocation.report, invocation, step)
        return _NOTHING  # type: ignore[return-value]  # a caller may await it

    def __repr__(self) -> str:
        return f"<CommandContext of {self.command!r} {self.id}, attempt {self.attempt}>"
