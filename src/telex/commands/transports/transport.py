"""`CommandTransport`: carries commands to the hub that serves them, and outcomes to the sender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from telex.codec.content import Content
from telex.commands.invocation import Invocation
from telex.commands.job import CommandInfo, JobFilter
from telex.commands.outcome import Outcome, Progress
from telex.commands.plan import SendPlan
from telex.commands.server import CommandServer
from telex.commands.ticket import PendingOutcome
from telex.errors import Closed
from telex.once.engine_store import EngineOnceTransaction
from telex.topics.transaction import Transaction

Duplicate = Literal["wait", "reject"]


class Request(msgspec.Struct, frozen=True):
    """A command to be sent, with the arguments of `Hub.send`. ``limit`` is its timeout in seconds."""

    name: str
    content: object
    key: str | None
    limit: float | None
    duplicate: Duplicate
    gives: Content[Any] | None
    needs_server: bool
    """True to raise `NoHandler` when no hub serves the command."""
    plan: SendPlan | None = None


class CommandTransport(Protocol):
    """The commands of one hub, both sent and served."""

    needs: tuple[str, ...]
    """The guarantees of the engine that commands need."""
    needs_to_delay: tuple[str, ...]
    """The guarantees that delayed commands need, too."""

    redelivers: bool
    """True when a command that leaves a worker comes again."""

    @property
    def unfinished(self) -> int:
        """The number of accepted commands that run or wait, without those that are messages of a group."""

    def serve(self, server: CommandServer) -> None:
        """Start carrying out the commands of one name."""

    async def start(self) -> None:
        """Announce the served commands to other hubs. Raises `EngineFailed`."""

    async def send(self, request: Request) -> PendingOutcome[Any]:
        """Accept a command. Raises as `Hub.send`."""

    async def call(self, request: Request) -> PendingOutcome[Any]:
        """Accept a command, as `send`, for a sender that waits: the outcome may have come when this method returns."""

    async def expect(self, name: str) -> None:
        """Prepare for `send_in`, outside of a transaction: keep commands of this name for hubs that serve it."""

    async def send_in(self, tx: Transaction, name: str, content: object, key: str) -> Callable[[], object] | None:
        """Send a command, to whose outcome nobody waits, when ``tx`` commits. ``key`` is also its id. Return a function
        to call after the commit, or None.
        """

    async def cancel(self, pending: PendingOutcome[Any]) -> bool:
        """Ask the worker to cancel a command. Return false when the command has certainly ended."""

    async def find(self, id: str) -> PendingOutcome[Any]:
        """Return the outcome of a command that any hub has sent, pending or not. Raises `NoSuchCommand`."""

    async def check(self, name: str, id: str) -> None:
        """Raise `NoSuchCommand` when there is no command of this name with this id."""

    async def jobs(self, wanted: JobFilter) -> list[CommandInfo]:
        """Return the commands that fit, the newest first. Raises `EngineFailed`."""

    async def job(self, id: str) -> CommandInfo:
        """Return one command. Raises `NoSuchCommand`, `EngineFailed`."""

    async def retry(self, id: str) -> PendingOutcome[Any]:
        """Run a failed command again, with its arguments and its id. Raises as `Hub.retry`."""

    async def publish_in(self, invocation: Invocation, outcome: Outcome[Any], tx: EngineOnceTransaction) -> None:
        """Publish an outcome when ``tx`` commits."""

    async def read(self, content: object) -> Outcome[Any] | Progress | None:
        """Return the outcome or progress in a message to followers; None for other content."""

    def is_full(self, name: str) -> bool:
        """Return true when `send` would wait, because too many commands of this name wait for a call."""

    def waiting(self, name: str) -> int:
        """Return the number of commands of one name that wait in this process."""

    async def close(self, error: Closed) -> None:
        """Stop sending, serving and reading. Waiting senders get ``error``."""
