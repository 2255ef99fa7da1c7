"""`CommandClient`: the methods of a hub that send, call and follow commands."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from telex.codec.content import Content
from telex.commands.dispatcher import CommandDispatcher
from telex.commands.follower import Follower
from telex.commands.job import CommandInfo, CommandState, filter_for
from telex.commands.plan import Priority, plan_for
from telex.commands.spec import check_command
from telex.commands.stream import Stream
from telex.commands.ticket import Ticket
from telex.commands.transports.transport import Duplicate
from telex.durations import Duration, optional_seconds, seconds
from telex.log.start import Start
from telex.names import check_pattern

if TYPE_CHECKING:
    from telex.runtime import Runtime

T = TypeVar("T")


class SendOptions(TypedDict, total=False):
    """The options of `CommandClient.send`."""

    key: str | None
    timeout: Duration | None
    duplicate: Duplicate


class JobOptions(SendOptions, total=False):
    """The options of `CommandClient.send` that `CommandClient.call` does not have."""

    delay: Duration | None
    at: datetime | None
    expires: Duration | None
    priority: Priority


class CommandClient:
    """The methods of a `Hub` that send, call and follow commands."""

    _dispatcher: CommandDispatcher
    _runtime: Runtime

    @overload
    async def send(
        self,
        name: str,
        content: object = None,
        **options: Unpack[JobOptions],
    ) -> Ticket[Any]: ...
    @overload
    async def send(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[JobOptions],
    ) -> Ticket[T]: ...
    async def send(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[Any] | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        expires: Duration | None = None,
        priority: Priority = "normal",
    ) -> Ticket[Any]:
        """Send a command. Return its `Ticket` once the engine has stored the command, also when no hub serves it yet.
        ``await ticket`` gives the result.

        A command that runs once has one outcome for each ``key``. Repeats get this outcome; with ``duplicate="reject"``
        a repeat of a running command raises `InProgress`. On an engine that stores messages, commands of one key run
        one after the other. ``timeout`` bounds sending, and is the deadline of the command: a worker drops the command
        when it has not begun by the deadline. ``type`` is the type of the result, for programs that do not declare the
        command.

        The command begins after ``delay``, or ``at`` (an aware datetime), and not when it has not begun within
        ``expires`` after sending: then its outcome has the code ``expired``, and the ticket raises `CommandExpired`.
        Of the waiting commands those with the ``priority`` ``"high"`` begin first, and those with ``"low"`` last.

        Raises `ContentError`, `BadName`, `BadOption`, `KeyConflict`, `InProgress`, `Timeout`, `EngineFailed`, `Closed`;
        `WouldBlock` when too many commands wait in memory for a handler to be declared.
        """
        if self._runtime.reason:
            self._runtime.check_open()
        limit, plan = optional_seconds(timeout), None
        if delay is not None or at is not None or expires is not None or priority != "normal":
            plan = plan_for(delay, at, expires, priority, limit, self._runtime.clock())
        dispatcher = self._dispatcher
        return await dispatcher.send(dispatcher.request(name, content, key, limit, duplicate, type, plan=plan))

    @overload
    async def call(
        self,
        name: str,
        content: object = None,
        **options: Unpack[SendOptions],
    ) -> Any: ...
    @overload
    async def call(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[SendOptions],
    ) -> T: ...
    async def call(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[Any] | None = None,
    ) -> Any:
        """Send a command and return its result, after at most ``timeout``. Cancelling the caller, or its timeout, does
        not cancel a command that has begun. A command that has not begun is dropped at its deadline.

        Raises the errors of `send`; `NoHandler`, at once, when no hub serves the command; `CommandFailed`; `Timeout`.
        """
        if self._runtime.reason:
            self._runtime.check_open()
        limit = None if timeout is None else seconds(timeout, "timeout")
        dispatcher = self._dispatcher
        return await dispatcher.call(dispatcher.request(name, content, key, limit, duplicate, type, needs_server=True))

    @overload
    def stream(
        self, name: str, content: object = None, *, key: str | None = None, timeout: Duration | None = None
    ) -> Stream[Any]: ...
    @overload
    def stream(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        type: type[T],
    ) -> Stream[T]: ...
    def stream(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        type: type[Any] | None = None,
    ) -> Stream[Any]:
        """Return the parts of a command that yields, to iterate over with ``async for``; the first iteration sends the
        command. ``key`` and ``timeout`` are those of `send`, ``type`` is the type of each part.

        The parts are messages of the topic ``$stream:<name>:<id>``, which any program may read from any position,
        during the command and an hour after its end; see `telex.commands.streaming`.

        Iterating raises the errors of `call`, `StreamRestarted`, and `ContentError` for a part that is not of the type.
        Raises `BadOption`.
        """
        limit = optional_seconds(timeout, "timeout")
        parts = None if type is None else Content(type)

        async def send() -> Ticket[Any]:
            self._runtime.check_open()
            dispatcher = self._dispatcher
            return await dispatcher.send(dispatcher.request(name, content, key, limit, needs_server=True))

        return Stream(send, self._runtime.topic, parts)

    async def ticket(self, id: str) -> Ticket[Any]:
        """Return the ticket of the command ``id``, whichever process has sent it: to wait for its outcome, to follow
        its progress, and to cancel it. The id is that of `Ticket`, `Outcome` and `CommandInfo`.

        Raises `NoSuchCommand` when there is no such command, or its outcome is no longer kept; `BadOption`, `Misuse`,
        `EngineFailed`, `Closed`.
        """
        self._runtime.check_open()
        return await self._dispatcher.ticket(id)

    async def commands(
        self,
        *,
        state: CommandState | None = None,
        name: str | None = None,
        id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[CommandInfo]:
        """Return the last commands that were sent, the newest first, at most ``limit``: those in one ``state``, of one
        ``name``, and with one ``id``. ``before`` is the id of the last command of the page before.

        Ended commands are listed as long as the last 1000 outcomes of their name or ``keep`` have them. On an engine
        that stores messages, a command shows as running within 2 seconds of its beginning. Raises `BadOption`,
        `BadName`, `Misuse`, `EngineFailed`, `Closed`.
        """
        self._runtime.check_open()
        wanted = filter_for(state, None if name is None else check_command(name), limit, before, id)
        return await self._dispatcher.jobs(wanted)

    async def retry(self, id: str) -> Ticket[Any]:
        """Run a failed command again, with the same arguments and the same id, as another attempt. Return its ticket
        when the engine has stored it.

        Raises `NoSuchCommand`; `BadOption` for a command that has not failed, or whose arguments are no longer kept;
        `Misuse`, `EngineFailed`, `Closed`.
        """
        self._runtime.check_open()
        return await self._dispatcher.retry(id)

    def follow(self, pattern: str, *, progress: bool = False, start: Start = "new", buffer: int = 1024) -> Follower:
        """Return a follower of all commands whose names match ``pattern``, whichever program sent them. Enter it with
        ``async with`` and iterate: it gives every `Outcome`, and with ``progress`` every `Progress`. ``start`` and
        ``buffer`` are as for `Topic.subscribe`. When the log no longer has the start, the first item is a `Lost`.

        Raises `BadName`, `BadOption`, `Closed`.
        """
        if self._runtime.closed:
            self._runtime.check_open()
        topic = f"$command:{check_pattern(pattern)}:{'*' if progress else 'outcome'}"
        if pattern.endswith(">"):
            topic = f"$command:{pattern}"
        subscription = self._runtime.topic(topic).subscribe(start=start, buffer=buffer)
        wanted = frozenset(("outcome", "progress") if progress else ("outcome",))
        return Follower(subscription, self._dispatcher.read, wanted)
