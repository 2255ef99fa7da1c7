"""`CommandClient`: what a hub does for those who ask."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from telex.commands.dispatcher import CommandDispatcher, Duplicate
from telex.commands.follower import Follower
from telex.commands.ticket import Ticket
from telex.durations import Duration, optional_seconds, seconds
from telex.errors import Timeout
from telex.log.start import Start
from telex.names import check_pattern

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.topics.topic import Topic

T = TypeVar("T")


class SendOptions(TypedDict, total=False):
    """What may be said of a command that is sent; what each is, `CommandClient.send` tells."""

    key: str | None
    timeout: Duration | None
    duplicate: Duplicate


class CommandClient:
    """The commands of a `Hub`: sent, called, followed."""

    _dispatcher: CommandDispatcher
    _runtime: Runtime

    def topic(self, id: str) -> Topic[Any]:
        """See `Hub.topic`."""
        raise NotImplementedError

    @overload
    async def send(
        self,
        name: str,
        content: object = None,
        **options: Unpack[SendOptions],
    ) -> Ticket[Any]: ...
    @overload
    async def send(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[SendOptions],
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
    ) -> Ticket[Any]:
        """Send a command, and return its `Ticket` once it is accepted: kept, on an engine that keeps messages. It need
        not be served yet. ``await ticket`` gives its result.

        Repeats with the same ``key`` of a command that runs once get the one outcome that it has; with
        ``duplicate="reject"`` one that is running is not waited for. On an engine that keeps messages, commands with a
        key are carried out one after the other. ``timeout`` is its deadline: what was not begun by then is dropped.
        ``type`` is what its result is to be, for programs that do not declare the command.

        Raises `ContentError`, `BadName`, `BadOption`, `KeyConflict`, `InProgress`, `Timeout`, `EngineFailed`, `Closed`;
        `WouldBlock` when too many wait in memory for a handler to be declared.
        """
        if self._runtime.reason:
            self._runtime.check_open()
        return await self._dispatcher.send(name, content, key, optional_seconds(timeout), duplicate, type, wanted=False)

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
        """Send a command and wait for its result, at most ``timeout``. Who is cancelled or runs out of time does not
        stop what has begun; what has not is dropped at its deadline.

        Raises what `send` raises; `NoHandler`, at once, when nobody serves it; `CommandFailed`; `Timeout`.
        """
        desk = self._dispatcher
        limit = None if timeout is None else seconds(timeout, "timeout")
        until = 0.0 if limit is None else monotonic() + limit
        if not desk.turn.offers():
            await asyncio.sleep(0)
            desk.turn.begin()
        if self._runtime.reason:
            self._runtime.check_open()
        if type is None and duplicate == "wait" and desk.courier is None and limit != 0.0 and not desk.is_full(name):
            ticket = desk.begin(name, content, key, limit, duplicate, None, wanted=True, at_once=True)
            if ticket.done:
                return ticket.value()
        else:
            ticket = await self._dispatcher.send(name, content, key, limit, duplicate, type, wanted=True)
        if limit is None or ticket.done:
            return await ticket
        try:
            return await ticket.result(max(0.0, until - monotonic()))
        except Timeout:
            raise Timeout(f"the command {name!r}", limit) from None

    def follow(self, pattern: str, *, progress: bool = False, start: Start = "new", buffer: int = 1024) -> Follower:
        """Hear every `Outcome` of the commands whose names fit ``pattern``, whoever sent them, to be entered with
        ``async with`` and iterated; with ``progress``, their `Progress` too. ``start`` and ``buffer`` as for
        `Topic.subscribe`; a start that is gone is told by a `Lost`.

        Raises `BadName`, `BadOption`, `Closed`.
        """
        topic = f"$command:{check_pattern(pattern)}:{'*' if progress else 'outcome'}"
        if pattern.endswith(">"):
            topic = f"$command:{pattern}"
        subscription = self.topic(topic).subscribe(start=start, buffer=buffer)
        wanted = frozenset(("outcome", "progress") if progress else ("outcome",))
        return Follower(subscription, self._dispatcher.opened, wanted)
