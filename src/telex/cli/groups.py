"""``telex groups``: list, pause, resume, move and forget consumer groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.files import file_to_list, for_each, not_found, with_hub
from telex.cli.options import Json, OptionalUrl, Url, Yes, parse_start
from telex.cli.output import confirm, print_json, print_line, print_table

if TYPE_CHECKING:
    from telex import GroupInfo, Hub

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group, as `telex groups` lists it.")]
Pattern = Annotated[
    str | None,
    typer.Option("--pattern", "-p", metavar="PATTERN", help="Only this pattern of the group; by default all."),
]
StartArgument = Annotated[
    str,
    typer.Argument(
        metavar="START",
        help="'new', 'earliest', a number of messages back, a time back such as 10m, or a position.",
    ),
]
COUNTS = ("lag", "in flight", "delayed", "dead")
"""The headings of a group's numbers."""

groups: typer.Typer = typer.Typer(rich_markup_mode=None)


@groups.callback(invoke_without_command=True)
def listing(
    ctx: typer.Context,
    url: OptionalUrl = None,
    json: Json = False,
) -> None:
    """List consumer groups. With a command: pause, resume, move or forget one.

    LAG is the number of published messages that the group has not settled. IN FLIGHT and DELAYED are parts of it:
    messages that a handler has leased, and messages that wait for a retry. DEAD is the number of dead letters.

    \b
    Examples:
      telex groups --url sqlite:///shop.db
      telex groups --json --url sqlite:///shop.db | jq '.[] | select(.lag > 100)'
      telex groups pause billing --url sqlite:///shop.db
      telex groups seek billing earliest --url sqlite:///shop.db
      telex groups forget billing --pattern 'orders:*' --yes --url sqlite:///shop.db
    """
    file = file_to_list(ctx, url, json)
    if file is None:
        return
    found = with_hub(file, _list)
    if json:
        print_json(found)
        return
    rows = [(g.group, g.pattern, *_counts(g), "paused" if g.paused else "") for g in found]
    print_table(("GROUP", "PATTERN", *(name.upper() for name in COUNTS), "STATE"), rows, "groups")


@groups.command()
def pause(group: Name, url: Url, pattern: Pattern = None, json: Json = False) -> None:
    """Stop a group from claiming messages, in all processes. Messages in flight are finished.

    \b
    Examples:
      telex groups pause billing --url sqlite:///shop.db
      telex groups pause billing --pattern 'orders:*' --url sqlite:///shop.db
    """
    chosen = _chosen(url, group, pattern)
    changed = for_each(url, chosen, lambda hub, info: hub.groups.pause(info.group, info.pattern))
    _print_state(url, changed, "paused", json)


@groups.command()
def resume(group: Name, url: Url, pattern: Pattern = None, json: Json = False) -> None:
    """Let a paused group claim messages again.

    \b
    Examples:
      telex groups resume billing --url sqlite:///shop.db
      telex groups resume billing --json --url sqlite:///shop.db | jq '.[].lag'
    """
    chosen = _chosen(url, group, pattern)
    changed = for_each(url, chosen, lambda hub, info: hub.groups.resume(info.group, info.pattern))
    _print_state(url, changed, "resumed", json)


@groups.command()
def seek(
    group: Name,
    start: StartArgument,
    url: Url,
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Move a group to another place in its topics. Its handlers go on from there, without a restart.

    Messages in flight are finished, dead letters stay, and messages that wait for a retry are discarded if they are
    before START.

    \b
    Examples:
      telex groups seek billing earliest --url sqlite:///shop.db
      telex groups seek billing 100 --pattern 'orders:*' --url sqlite:///shop.db
      telex groups seek billing 10m --url sqlite:///shop.db
    """
    from telex.log.start import check_seek, check_start

    place = check_start(parse_start(start))
    chosen = _chosen(url, group, pattern)
    for info in chosen:
        check_seek(info.pattern, place)
    changed = for_each(url, chosen, lambda hub, info: hub.groups.seek(info.group, place, info.pattern))
    _print_state(url, changed, f"moved to {start}", json)


@groups.command()
def forget(group: Name, url: Url, pattern: Pattern = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a group, its dead letters, and the messages that were kept for it alone. On a terminal it asks first.

    Handlers of the group get no more messages until their program is started again, which begins the group from its
    start. With --json it prints the groups as they were.

    \b
    Examples:
      telex groups forget billing --url sqlite:///shop.db
      telex groups forget billing --pattern 'orders:*' --yes --url sqlite:///shop.db
    """
    chosen = _chosen(url, group, pattern)
    if not yes:
        confirm(map(_described, chosen), "Forget this, with its dead letters?")
    gone = for_each(url, chosen, lambda hub, info: hub.groups.forget(info.group, info.pattern))
    if json:
        print_json(gone)
        return
    for info in gone:
        print_line(f"{_named(info)}: forgotten")


async def _list(hub: Hub) -> list[GroupInfo]:
    return await hub.groups.list()


def _chosen(url: str, group: str, pattern: str | None) -> list[GroupInfo]:
    from telex.names import check_pattern

    if pattern is not None:
        check_pattern(pattern)
    chosen = [info for info in with_hub(url, _list) if info.group == group and pattern in (None, info.pattern)]
    if not chosen:
        raise not_found("group", group if pattern is None else f"{group} on {pattern}")
    return chosen


def _described(info: GroupInfo) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in zip(COUNTS, _counts(info), strict=True))
    return f"{_named(info)}: {counts}"


def _print_state(url: str, changed: list[GroupInfo], state: str, json: bool) -> None:
    if json:
        names = {_named(info) for info in changed}
        print_json([info for info in with_hub(url, _list) if _named(info) in names])
        return
    for info in changed:
        print_line(f"{_named(info)}: {state}")


def _named(info: GroupInfo) -> str:
    return f"{info.group} on {info.pattern}"


def _counts(info: GroupInfo) -> tuple[int, int, int, int]:
    return info.lag, info.leased, info.delayed, info.dead
