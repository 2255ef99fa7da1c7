"""``telex groups``: list consumer groups, pause them, let them go on, forget them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit, tell
from telex.cli.files import MaybeUrl, Url, none_such, print_json, show, to_list, with_hub
from telex.cli.options import Json
from telex.cli.table import show_table

if TYPE_CHECKING:
    from telex import GroupInfo, Hub

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group, as `telex groups` names it.")]
Pattern = Annotated[
    str | None,
    typer.Option("--pattern", "-p", metavar="PATTERN", help="Only on this pattern; without it, on all that it has."),
]
COUNTS = ("lag", "in flight", "delayed", "dead")
"""The headings of a group's numbers."""

groups: typer.Typer = typer.Typer(rich_markup_mode=None)


@groups.callback(invoke_without_command=True)
def listing(
    ctx: typer.Context,
    url: MaybeUrl = None,
    json: Json = False,
) -> None:
    """List consumer groups. With a command: pause, resume or forget one.

    LAG counts the messages that are published and not settled, IN FLIGHT those of them that a handler works on,
    DELAYED those that wait for a retry, and DEAD the dead letters of the group.

    \b
    Examples:
      telex groups --url sqlite:///shop.db
      telex groups --json --url sqlite:///shop.db | jq '.[] | select(.lag > 100)'
      telex groups pause billing --url sqlite:///shop.db
      telex groups forget billing --pattern 'orders:*' --yes --url sqlite:///shop.db
    """
    file = to_list(ctx, url, json)
    if file is None:
        return
    found = with_hub(file, _list)
    if json:
        print_json(found)
        return
    rows = [(g.group, g.pattern, *_counts(g), "paused" if g.paused else "") for g in found]
    show_table(("GROUP", "PATTERN", *(name.upper() for name in COUNTS), "STATE"), rows, "groups")


@groups.command()
def pause(group: Name, url: Url, pattern: Pattern = None, json: Json = False) -> None:
    """Let a group claim nothing more, in all processes. What it works on it finishes.

    \b
    Examples:
      telex groups pause billing --url sqlite:///shop.db
      telex groups pause billing --pattern 'orders:*' --url sqlite:///shop.db
    """
    chosen = _chosen(url, group, pattern)
    changed = _each(url, chosen, lambda hub, info: hub.groups.pause(info.group, info.pattern))
    _tell_what_is_now(url, changed, "paused", json)


@groups.command()
def resume(group: Name, url: Url, pattern: Pattern = None, json: Json = False) -> None:
    """Let a group that was paused go on.

    \b
    Examples:
      telex groups resume billing --url sqlite:///shop.db
      telex groups resume billing --json --url sqlite:///shop.db | jq '.[].lag'
    """
    chosen = _chosen(url, group, pattern)
    changed = _each(url, chosen, lambda hub, info: hub.groups.resume(info.group, info.pattern))
    _tell_what_is_now(url, changed, "goes on", json)


@groups.command()
def forget(
    group: Name,
    url: Url,
    pattern: Pattern = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove a group with its dead letters. What was kept for it alone is let go. On a terminal it asks before.

    Handlers of the group get nothing more until their program is started again, which begins the group anew. With
    --json the groups are printed as they were.

    \b
    Examples:
      telex groups forget billing --url sqlite:///shop.db
      telex groups forget billing --pattern 'orders:*' --yes --url sqlite:///shop.db
    """
    chosen = _chosen(url, group, pattern)
    if not yes and sys.stdin.isatty():
        _confirm(chosen)
    gone = _each(url, chosen, lambda hub, info: hub.groups.forget(info.group, info.pattern))
    if json:
        print_json(gone)
        return
    for info in gone:
        show(f"{_named(info)}: forgotten")


async def _list(hub: Hub) -> list[GroupInfo]:
    return await hub.groups.list()


def _chosen(url: str, group: str, pattern: str | None) -> list[GroupInfo]:
    from telex.names import check_pattern

    if pattern is not None:
        check_pattern(pattern)
    chosen = [info for info in with_hub(url, _list) if info.group == group and pattern in (None, info.pattern)]
    if not chosen:
        which = group if pattern is None else f"{group} on {pattern}"
        raise none_such("group", which)
    return chosen


def _each(url: str, chosen: list[GroupInfo], act: Callable[[Hub, GroupInfo], Awaitable[bool]]) -> list[GroupInfo]:
    """Act on each; those that were still there."""

    async def act_on_all(hub: Hub) -> list[GroupInfo]:
        return [info for info in chosen if await act(hub, info)]

    return with_hub(url, act_on_all)


def _confirm(chosen: list[GroupInfo]) -> None:
    for info in chosen:
        counts = ", ".join(f"{name} {count}" for name, count in zip(COUNTS, _counts(info), strict=True))
        typer.echo(f"{_named(info)}: {counts}", err=True)
    # Not by a prompt of typer, which writes to the standard output, too.
    typer.echo("Forget this, with its dead letters? [y/N] ", err=True, nl=False)
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        tell("nothing was forgotten")
        raise typer.Exit(Exit.ERROR)


def _tell_what_is_now(url: str, changed: list[GroupInfo], what: str, json: bool) -> None:
    if json:
        names = {_named(info) for info in changed}
        print_json([info for info in with_hub(url, _list) if _named(info) in names])
        return
    for info in changed:
        show(f"{_named(info)}: {what}")


def _named(info: GroupInfo) -> str:
    return f"{info.group} on {info.pattern}"


def _counts(info: GroupInfo) -> tuple[int, int, int, int]:
    return info.lag, info.leased, info.delayed, info.dead
