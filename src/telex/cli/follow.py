"""``telex follow``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex.cli.exits import Exit
from telex.cli.files import with_hub
from telex.cli.options import Json, Limit, Since, Url, parse_start
from telex.cli.output import print_json, print_line, report, to_json

if TYPE_CHECKING:
    from telex import Follower, Lost, Outcome, Progress


def follow(
    pattern: Annotated[str, typer.Argument(help="A command's name, or a pattern such as 'report:*'; '>' for all.")],
    url: Url,
    progress: Annotated[bool, typer.Option("--progress", help="Print progress reports, too.")] = False,
    since: Since = "new",
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after N lines.")] = None,
    timeout: Limit = None,
    json: Json = False,
) -> None:
    """Print the outcomes of commands, from all senders, as they arrive.

    Exit code 4: --timeout was over before --count lines came.

    \b
    Examples:
      telex follow 'report:*' --progress --url sqlite:///shop.db
      telex follow charge --since 24h --timeout 0 --url sqlite:///shop.db
      telex follow '>' --json --url sqlite:///shop.db | jq 'select(.error)'
    """
    start = parse_start(since)
    left = with_hub(url, lambda hub: _follow(hub.follow(pattern, progress=progress, start=start), count, timeout, json))
    if left:
        report(f"{timeout or 0:g} s are over, and {left} of {count} have not come")
        raise typer.Exit(Exit.TIMEOUT)


async def _follow(follower: Follower, count: int | None, timeout: float | None, json: bool) -> int | None:
    """Print at most ``count`` items. Return the number of items that have not come."""
    async with follower:
        try:
            async with asyncio.timeout(timeout):
                async for item in follower:
                    _print(item, json)
                    if count is not None:
                        count -= 1
                        if not count:
                            break
        except TimeoutError:
            pass
    return count


def _print(item: Outcome[Any] | Progress | Lost, json: bool) -> None:
    from telex import Lost, Progress

    if isinstance(item, Lost):
        if json:
            print_json({"lost": item})
        else:
            report(f"{item.count} are lost ({item.reason})", bad=False)
    elif json:
        print_json(item)
    elif isinstance(item, Progress):
        print_line(f"         {_named(item)} {item.fraction:4.0%} {item.text}".rstrip())
    else:
        when = f"{item.completed_at.astimezone():%H:%M:%S}"
        if item.error is None:
            print_line(f"{when} {_named(item)} done {to_json(item.result)}")
        else:
            print_line(f"{when} {_named(item)} failed {item.error.type}: {item.error.message}")


def _named(item: Outcome[Any] | Progress) -> str:
    return f"{item.command} {item.id if item.key is None else item.key}"
