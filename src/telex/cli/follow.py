"""``telex follow``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from telex.cli.exits import Exit, tell
from telex.cli.files import Url, show, with_hub
from telex.cli.options import Json, duration

if TYPE_CHECKING:
    from telex import Follower, Lost, Outcome, Progress


def follow(
    pattern: Annotated[str, typer.Argument(help="A command's name, or a pattern such as 'report:*'; '>' for all.")],
    url: Url,
    progress: Annotated[bool, typer.Option("--progress", help="How far they are, too.")] = False,
    since: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="'earliest', a number of messages back, a time back such as 10m, or a position."
        ),
    ] = "new",
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Stop after so long: seconds, or text such as 5m."),
    ] = None,
    json: Json = False,
) -> None:
    """Print what becomes of commands, whoever sent them.

    With --count, running out of --timeout first is exit code 4.

    \b
    Examples:
      telex follow 'report:*' --progress --url sqlite:///shop.db
      telex follow charge --since 24h --timeout 0 --url sqlite:///shop.db
      telex follow '>' --json --url sqlite:///shop.db | jq 'select(.error)'
    """
    from telex.gateway.protocol import parse_since

    start = parse_since(int(since) if since.isascii() and since.isdigit() else since)
    left = with_hub(url, lambda hub: _follow(hub.follow(pattern, progress=progress, start=start), count, timeout, json))
    if left:
        tell(f"{timeout or 0:g} s are over, and {left} of {count} have not come")
        raise typer.Exit(Exit.TIMEOUT)


async def _follow(follower: Follower, count: int | None, timeout: float | None, json: bool) -> int | None:
    """How many of ``count`` have not come."""
    async with follower:
        try:
            async with asyncio.timeout(timeout):
                async for told in follower:
                    _show(told, json)
                    if count is not None:
                        count -= 1
                        if not count:
                            break
        except TimeoutError:
            pass
    return count


def _show(told: Outcome[Any] | Progress | Lost, json: bool) -> None:
    from telex import Lost, Progress

    if isinstance(told, Lost):
        if json:
            typer.echo(msgspec.json.encode({"lost": told}).decode())
        else:
            tell(f"{told.count} are lost ({told.reason})", bad=False)
    elif json:
        typer.echo(msgspec.json.encode(told).decode())
    elif isinstance(told, Progress):
        show(f"         {_named(told)} {told.fraction:4.0%} {told.text}".rstrip())
    else:
        when = f"{told.completed_at.astimezone():%H:%M:%S}"
        if told.error is None:
            show(f"{when} {_named(told)} done {msgspec.json.encode(told.result).decode()}")
        else:
            show(f"{when} {_named(told)} failed {told.error.type}: {told.error.message}")


def _named(told: Outcome[Any] | Progress) -> str:
    return f"{told.command} {told.id if told.key is None else told.key}"
