"""Commands on what an engine keeps: ``telex history``, ``dead``, ``export``, ``import``, ``check``, ``compact``."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex import EngineFailed, TelexError
from telex.cli.bar import Bar
from telex.cli.exits import Exit, tell
from telex.cli.files import MaybeUrl, Url, existing, none_such, show, with_hub
from telex.cli.options import Json, is_given
from telex.cli.table import show_table

if TYPE_CHECKING:
    from telex import DeadLetter, Hub, Message

BATCH = 500
Pattern = Annotated[str, typer.Argument(help="Which topics: '*' stands for one token, '>' for all the rest.")]
File = Annotated[str | None, typer.Argument(metavar="[FILE]", help="The file, if it is not named by --url.")]
Which = Annotated[int | None, typer.Argument(help="Which one; without it, all of the group.")]
Group = Annotated[str | None, typer.Option("--group", "-g", help="Only those of this group.")]
Position = Annotated[int, typer.Argument(help="The dead letter, as `telex dead list` numbers it.")]


def _line(message: Message[Any]) -> str:
    from telex.codec.content import to_json

    content = message.content if isinstance(message.content, str) else to_json(message.content).decode()
    return f"{message.timestamp.astimezone():%Y-%m-%d %H:%M:%S}  {message.topic} {message.seq}  {content}"


def history(
    topic: Annotated[str, typer.Argument(help="The topic.")],
    url: Url,
    last: Annotated[int | None, typer.Option("--last", "-n", min=1, help="Only so many, the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then print messages as they come.")] = False,
    json: Json = False,
) -> None:
    """Print what a topic keeps, the oldest first. With --follow it goes on until Ctrl-C.

    \b
    Examples:
      telex history chatroom:lobby --url sqlite:///chat.db
      telex history orders --last 10 --json --url sqlite:///shop.db | jq .content
      telex history orders --last 10 --follow --url sqlite:///shop.db
    """

    async def print_all(hub: Hub) -> None:
        await _check_there(hub, topic)
        if follow:
            return
        async for message in _readable(hub.topic(topic).history(start="earliest" if last is None else last), damaged):
            typer.echo(message.to_json().decode()) if json else show(_line(message))

    damaged: list[str] = []
    with_hub(url, print_all)
    _fail_if(damaged and not follow)
    if follow:
        from telex.cli.follow_file import follow_file
        from telex.cli.printing import Printer

        Printer(json, None, dated=True).run(follow_file(url, topic, "earliest" if last is None else last, None))


async def _readable(messages: AsyncIterator[Message[Any]], damaged: list[str]) -> AsyncIterator[Message[Any]]:
    """The messages that can be read. The others are told of and noted in ``damaged``."""
    while True:
        try:
            message = await anext(messages)
        except StopAsyncIteration:
            return
        except EngineFailed as error:
            if damaged and damaged[-1] == str(error):
                raise  # it is not the next message that fails, it is reading
            damaged.append(str(error))
            tell(str(error))
        else:
            yield message


def _fail_if(damaged: object) -> None:
    if damaged:
        raise typer.Exit(Exit.ERROR)


async def _check_there(hub: Hub, topic: str) -> None:
    """A pattern may match nothing; a topic that is named has to be there."""
    from telex.names import is_pattern

    if not is_pattern(topic) and not await hub.topics(topic):
        raise none_such("topic", topic)


_DEAD = """Look after dead letters: messages that a group gave up.

\b
Examples:
  telex dead list --url sqlite:///shop.db
  telex dead retry --group billing --url sqlite:///shop.db
"""
dead: typer.Typer = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_DEAD)


@dead.command("list")
def dead_list(
    url: Url,
    group: Group = None,
    json: Json = False,
) -> None:
    """List dead letters, the oldest first: messages that a group gave up."""
    letters = with_hub(url, lambda hub: _dead(hub, group))
    if json:
        for letter in letters:
            typer.echo(_letter_json(letter))
        return
    rows = [(str(d.position), d.group, d.attempts, d.reason, _line(d.message)) for d in letters]
    show_table(("NUMBER", "GROUP", "ATTEMPTS", "REASON", "MESSAGE"), rows, "dead letters")


@dead.command("show")
def dead_show(position: Position, url: Url) -> None:
    """Print one dead letter whole, as JSON."""
    typer.echo(_letter_json(_letter(url, position, None)[0]))


@dead.command("retry")
def dead_retry(
    url: Url,
    position: Which = None,
    group: Group = None,
) -> None:
    """Deliver dead letters to their group again, as if for the first time."""
    _each(url, position, group, lambda hub, letter: hub.groups.retry(letter), "delivered again")


@dead.command("drop")
def dead_drop(
    url: Url,
    position: Which = None,
    group: Group = None,
) -> None:
    """Forget dead letters."""
    _each(url, position, group, lambda hub, letter: hub.groups.drop(letter), "dropped")


async def _dead(hub: Hub, group: str | None) -> list[DeadLetter]:
    letters = await hub.groups.dead(group)
    if not letters and group is not None and all(info.group != group for info in await hub.groups.list()):
        raise none_such("group", group)
    return letters


def _letter_json(letter: DeadLetter) -> str:
    import msgspec

    about = {name: getattr(letter, name) for name in ("position", "group", "pattern", "attempts", "reason", "died")}
    return msgspec.json.encode(about | {"message": msgspec.Raw(letter.message.to_json())}).decode()


def _letter(url: str, position: int | None, group: str | None) -> list[DeadLetter]:
    letters = with_hub(url, lambda hub: _dead(hub, group))
    chosen = [letter for letter in letters if position in (None, letter.position)]
    if position is not None and not chosen:
        tell(f"there is no dead letter {position}; `telex dead list` shows those that are there")
        raise typer.Exit(Exit.ERROR)
    return chosen


def _each(
    url: str,
    position: int | None,
    group: str | None,
    act: Callable[[Hub, DeadLetter], Awaitable[bool]],
    done: str,
) -> None:
    if position is None and group is None:
        tell("say which: a dead letter's number, or --group for all of a group")
        raise typer.Exit(Exit.USAGE)
    chosen = _letter(url, position, group)

    async def act_on_all(hub: Hub) -> int:
        return sum([await act(hub, letter) for letter in chosen])

    show(f"{with_hub(url, act_on_all)} {done}")


def export(url: Url, pattern: Pattern = ">") -> None:
    """Write all that topics keep as JSON lines to the standard output, for `telex import`.

    A terminal shows how far it is while the output goes elsewhere.

    \b
    Examples:
      telex export --url sqlite:///shop.db > all.jsonl
      telex export 'orders:>' --url sqlite:///shop.db | gzip > orders.jsonl.gz
    """
    out = sys.stdout.buffer

    async def write(hub: Hub) -> None:
        await _check_there(hub, pattern)
        names = await hub.topics(pattern)
        total = sum(hub.topic(name).statistics().kept for name in names)
        written = 0
        for name in names:
            async for message in _readable(hub.topic(name).history(), damaged):
                out.write(message.to_json() + b"\n")
                written += 1
                if not written % BATCH:
                    bar.tell(written / max(total, written), f"{written:,} messages")

    damaged: list[str] = []
    with Bar("exporting", wanted=not sys.stdout.isatty()) as bar:
        with_hub(url, write)
        out.flush()
    _fail_if(damaged)


class NotAMessage(TelexError):
    """The user's fault: a line of what is imported is none that `telex export` wrote."""


def import_(
    url: Url,
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="JSON lines as `telex export` writes them; - reads here.")
    ],
    json: Json = False,
) -> None:
    """Publish what `telex export` wrote: with its ids, times, headers and keys, after what is there.

    A message whose id is there already, or was imported before, is not stored again. A terminal shows how far it is.

    \b
    Examples:
      telex import orders.jsonl --url sqlite:///other.db
      zcat orders.jsonl.gz | telex import - --json --url sqlite:///other.db
    """
    from telex import Hub

    size = _size(file)

    async def publish() -> tuple[int, int]:
        count = known = 0
        async with Hub(url) as hub:
            for batch, end in _batches(file):
                stored = len(await hub.adopt(batch))
                count, known = count + stored, known + len(batch) - stored
                bar.tell(None if size is None else end / max(size, end), f"{count:,} messages")
        return count, known

    with Bar("importing") as bar:
        count, known = asyncio.run(publish())
    there = f", {known} were there already" if known else ""
    typer.echo(f'{{"messages":{count},"known":{known}}}' if json else f"{count} messages{there}")


def _size(file: typer.FileBinaryRead) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:  # it is no file of the system
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _batches(file: typer.FileBinaryRead) -> Iterator[tuple[list[Message[Any]], int]]:
    """Messages, and where in the file they end."""
    from telex import Message

    batch: list[Message[Any]] = []
    end = 0
    for number, line in enumerate(file, 1):
        end += len(line)
        if not line.strip():
            continue
        try:
            batch.append(Message.from_json(line))
        except ValueError as error:
            if batch:
                yield batch, end
            raise NotAMessage(f"line {number} is no message: {error}; what came before it was imported") from None
        if len(batch) == BATCH:
            yield batch, end
            batch = []
    if batch:
        yield batch, end


def check(ctx: typer.Context, file: File = None, url: MaybeUrl = None) -> None:
    """Read a whole file and report what is wrong with it. Changes nothing.

    \b
    Examples:
      telex check --url sqlite:///shop.db
      telex check shop.db
    """
    from telex.engines.sqlite.upkeep import check

    path = _path(ctx, file, url)
    problems = check(path)
    for problem in problems:
        tell(problem)
    if problems:
        raise typer.Exit(Exit.ERROR)
    show(f"{path} is in order")


def compact(ctx: typer.Context, file: File = None, url: MaybeUrl = None) -> None:
    """Give back the space of messages that were deleted. Nobody may have the file open.

    \b
    Examples:
      telex compact --url sqlite:///shop.db
      telex compact shop.db
    """
    from telex.engines.sqlite.upkeep import compact

    path = _path(ctx, file, url)
    before, after = compact(path)
    show(f"{path}: {before:,} bytes before, {after:,} now")


def _path(ctx: typer.Context, file: str | None, url: str | None) -> Path:
    """The file that is named by its path or by its URL."""
    if file is not None and url is not None and is_given(ctx, "url"):
        raise typer.BadParameter("give the file or --url, not both", ctx, param_hint="'--url'")
    if file is not None:
        return existing(file) if file.startswith("sqlite:") else Path(file)
    if url is None:
        raise typer.BadParameter("give the file that is meant, --url sqlite:///file.db", ctx, param_hint="'--url'")
    return existing(url)
