"""``telex copy``: copy messages from one engine to another while programs publish to the first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from telex.cli.bar import Bar
from telex.cli.exits import Exit
from telex.cli.options import Json, TopicPattern
from telex.cli.output import counted, print_json, print_line, report, was

if TYPE_CHECKING:
    from telex import GroupInfo, Hub, Message, Position

MESSAGES_PER_WRITE = 500
CHECK_SECONDS = 1.0
"""Seconds between two checks for messages and for Ctrl-C, while no message arrives."""


class Copier:
    """A copy of the topics of a pattern from one hub to another, which continues after the last copied message.

    Ids, times, headers, keys and the order in each topic stay; the numbers are those of the target. Topics of telex
    itself, which begin with ``$``, are not copied: waiting commands would be carried out twice.
    """

    def __init__(self, source: Hub, target: Hub, pattern: str, on_progress: Callable[[int, int], None]) -> None:
        self.stored: int = 0
        self.known: int = 0
        self.unreadable: int = 0
        """The number of messages of the source that cannot be read, and are not copied."""
        self._source = source
        self._target = target
        self._pattern = pattern
        self._on_progress = on_progress
        self._copied: dict[str, Position] = {}

    async def run(self) -> int:
        """Copy the stored messages that were not copied. Return the number of messages that were read."""
        read = 0
        for name in await self._source.topics(self._pattern):
            if not name.startswith("$"):
                read += await self._copy(name)
        return read

    async def _copy(self, name: str) -> int:
        from telex import Lost, Position

        topic = self._source.topic(name)
        end = await topic.position()
        start = self._copied.get(name, Position(0, end.epoch))
        if start == end:
            return 0
        read, batch, last = 0, list["Message[object]"](), start.seq

        async def write() -> None:
            nonlocal read
            stored = len(await self._target.adopt(batch))
            read, self.stored, self.known = read + len(batch), self.stored + stored, self.known + len(batch) - stored
            self._copied[name] = Position(batch[-1].seq, end.epoch)
            self._on_progress(self.stored, self.known)
            batch.clear()

        async for message in topic.history(start=start):
            if isinstance(message, Lost):
                last = max(last, message.last)
                if message.reason == "unreadable":
                    self.unreadable += message.count
                    report(f"{name}: messages {message.first} to {message.last} cannot be read, and are not copied")
                continue
            last = message.seq
            batch.append(message)
            if len(batch) == MESSAGES_PER_WRITE:
                await write()
        if batch:
            await write()
        self._copied[name] = Position(last, end.epoch)  # also past messages that cannot be read
        return read

    async def groups(self) -> tuple[list[GroupInfo], list[GroupInfo]]:
        """Return the groups of the source whose messages are all copied, and the other groups: they read topics outside
        of the pattern.
        """
        from telex.gateway.auth import covers

        groups = [info for info in await self._source.groups.list() if not info.group.startswith("$")]
        inside = [info for info in groups if covers(self._pattern, info.pattern)]
        return inside, [info for info in groups if info not in inside]

    async def begin_groups(self, infos: Sequence[GroupInfo]) -> list[GroupInfo]:
        """Create groups of the source in the target. They begin after the copied messages.

        Return the groups that the target had before with messages left: they keep their position.
        """
        from telex.hub import runtime_of
        from telex.log.log import Retention

        engine = runtime_of(self._target).engine
        groups = runtime_of(self._target).groups("copying")
        behind = {(info.group, info.pattern): info for info in await groups.groups() if info.lag}
        before = []
        for info in infos:
            await groups.join(info.group, info.pattern, "new", partial(engine.log, info.pattern, Retention()))
            if (info.group, info.pattern) in behind:
                before.append(behind[info.group, info.pattern])
        return before


class Copied(NamedTuple):
    """The result of a copy."""

    copier: Copier
    groups: list[GroupInfo]
    """The groups that begin in the target."""
    outside: list[GroupInfo]
    """The groups that are not created in the target, since they read topics that are not copied."""
    before: list[GroupInfo]
    """The groups that the target had before, with messages left."""


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL of the engine to read.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The URL of the engine to write.")],
    pattern: TopicPattern = ">",
    once: Annotated[bool, typer.Option("--once", help="End when all messages are copied.")] = False,
    json: Json = False,
) -> None:
    """Copy all messages from one engine to another, and continue with new ones until Ctrl-C.

    To switch programs to the other engine: start the copy. When it has caught up, stop the programs. When it has caught
    up again, press Ctrl-C, and start the programs with the other URL. Groups begin there after the last copied message.
    A group that TO has from an earlier copy keeps its place, and handles what was copied since; a warning names it.
    With a PATTERN, groups that also read other topics are not created in TO; the output names them. Messages that
    cannot be read are named and not copied, and the exit code is 1. Dead letters, delayed messages, waiting commands,
    and records are not copied. A second Ctrl-C ends the copy at once.

    \b
    Examples:
      telex copy sqlite:///shop.db postgresql://shop@db/shop
      telex copy sqlite:///shop.db sqlite:///copy.db 'orders:>' --once --json
    """
    if source == target:
        report("FROM and TO are the same engine; give two")
        raise typer.Exit(Exit.USAGE)
    with Bar("copying") as bar:
        try:
            copied = asyncio.run(_run(source, target, pattern, bar, once=once, quiet=json))
        except asyncio.CancelledError:
            report("stopped before all messages were copied; start the copy again to continue")
            raise typer.Exit(Exit.INTERRUPTED) from None
    copier, groups, outside, before = copied
    left = [info for info in groups if info.lag]
    if json:
        found: dict[str, object] = {"messages": copier.stored, "known": copier.known, "unreadable": copier.unreadable}
        found |= {"groups": len(groups), "unfinished": [info.group for info in left]}
        print_json(found | {"outside": [info.group for info in outside]})
    else:
        known = f", {copier.known:,} {was(copier.known)} there already" if copier.known else ""
        unreadable = f", {copier.unreadable:,} cannot be read" if copier.unreadable else ""
        begin = f"{counted(len(groups), 'group')} {'begins' if len(groups) == 1 else 'begin'} after them"
        print_line(f"{counted(copier.stored, 'message')} copied{known}{unreadable}; {begin}")
    for info in left:
        text = f"group {info.group} on {info.pattern} has {counted(info.lag, 'message')} left in FROM"
        report(f"{text}: let it handle them there, since in TO the group begins after them")
    for info in outside:
        report(f"group {info.group} on {info.pattern} is not created in TO: it also reads topics outside of {pattern}")
    for info in before:
        text = (
            f"group {info.group} on {info.pattern} was in TO before, and handles {counted(info.lag, 'message')} there"
        )
        report(f"{text}: to let it begin after them, `telex groups forget {info.group} --url TO`, and copy again")
    if left or before or copier.unreadable:
        raise typer.Exit(Exit.ERROR)


async def _run(source: str, target: str, pattern: str, bar: Bar, *, once: bool, quiet: bool) -> Copied:
    from telex import Hub, Timeout
    from telex.hub import keep_encoded

    stopped, task = asyncio.Event(), asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopped.is_set() and task is not None:
            task.cancel()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with keep_encoded(Hub(source), "all") as read, Hub(target) as written:

        def on_progress(stored: int, known: int) -> None:
            bar.update(None, counted(stored + known, "message"))

        copier = Copier(read, written, pattern, on_progress)
        async with read.topic(pattern).subscribe(overflow="latest", buffer=1) as news:
            is_behind = True
            while not stopped.is_set():
                found = await copier.run()
                if found:
                    is_behind = True
                    continue
                if once:
                    break
                if is_behind and not quiet:
                    print_line(f"caught up: all {copier.stored + copier.known:,} messages are in TO")
                is_behind = False
                with suppress(Timeout):
                    await news.receive(CHECK_SECONDS)
        await copier.run()
        groups, outside = await copier.groups()
        return Copied(copier, groups, outside, await copier.begin_groups(groups))
