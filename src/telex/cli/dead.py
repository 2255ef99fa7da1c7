"""``telex dead``: list, show, retry and drop dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.files import file_to_list, for_each, not_found, with_hub
from telex.cli.history import line_of
from telex.cli.options import Json, OptionalUrl, Url
from telex.cli.output import local_time, print_line, print_table, report

if TYPE_CHECKING:
    from telex import DeadLetter, Hub

Which = Annotated[int | None, typer.Argument(help="The number of one dead letter, instead of --group.")]
Group = Annotated[str | None, typer.Option("--group", "-g", help="Only the dead letters of this group.")]
FIELDS = ("position", "group", "pattern", "attempts", "reason", "died")
Position = Annotated[int, typer.Argument(help="The dead letter, as `telex dead list` numbers it.")]
dead: typer.Typer = typer.Typer(rich_markup_mode=None)


@dead.callback(invoke_without_command=True)
def overview(ctx: typer.Context, url: OptionalUrl = None, json: Json = False) -> None:
    """List dead letters: messages whose last attempt failed, or that a handler rejected. With a command: show, retry or
    drop them.

    \b
    Examples:
      telex dead --url sqlite:///shop.db
      telex dead list --group billing --url sqlite:///shop.db
      telex dead retry --group billing --url sqlite:///shop.db
    """
    file = file_to_list(ctx, url, json)
    if file is not None:
        dead_list(file, json=json)


@dead.command("list")
def dead_list(
    url: Url,
    group: Group = None,
    json: Json = False,
) -> None:
    """List dead letters, the oldest first.

    \b
    Examples:
      telex dead list --url sqlite:///shop.db
      telex dead list --group billing --json --url sqlite:///shop.db | jq .reason
    """
    letters = with_hub(url, lambda hub: _letters(hub, group))
    if json:
        for letter in letters:
            typer.echo(_letter_json(letter))
        return
    rows = [(str(d.position), d.group, d.attempts, d.reason, line_of(d.message)) for d in letters]
    print_table(("NUMBER", "GROUP", "ATTEMPTS", "REASON", "MESSAGE"), rows, "dead letters")


@dead.command("show")
def dead_show(position: Position, url: Url, json: Json = False) -> None:
    """Print one dead letter, with its message.

    \b
    Examples:
      telex dead show 17 --url sqlite:///shop.db
      telex dead show 17 --json --url sqlite:///shop.db | jq .message.content
    """
    letter = _chosen(url, position, None)[0]
    if json:
        typer.echo(_letter_json(letter))
        return
    for name in FIELDS:
        value = local_time(_died(letter)) if name == "died" else getattr(letter, name)
        print_line(f"{name}: {value}")
    print_line(f"message: {line_of(letter.message)}")
    print_line(f"message id: {letter.message.id}")
    for name, header in letter.message.headers.items():
        print_line(f"header {name}: {header}")


@dead.command("retry")
def dead_retry(
    url: Url,
    position: Which = None,
    group: Group = None,
) -> None:
    """Deliver dead letters to their group again, with their attempts counted from 1.

    \b
    Examples:
      telex dead retry 17 --url sqlite:///shop.db
      telex dead retry --group billing --url sqlite:///shop.db
    """
    _act(url, position, group, lambda hub, letter: hub.groups.retry(letter), "delivered again")


@dead.command("drop")
def dead_drop(
    url: Url,
    position: Which = None,
    group: Group = None,
) -> None:
    """Delete dead letters.

    \b
    Examples:
      telex dead drop 17 --url sqlite:///shop.db
      telex dead drop --group billing --url sqlite:///shop.db
    """
    _act(url, position, group, lambda hub, letter: hub.groups.drop(letter), "dropped")


async def _letters(hub: Hub, group: str | None) -> list[DeadLetter]:
    groups = [info for info in await hub.groups.list() if group in (None, info.group)]
    if group is not None and not groups:
        raise not_found("group", group)
    return await hub.groups.dead(group, sum(info.dead for info in groups))


def _letter_json(letter: DeadLetter) -> str:
    import msgspec

    about = {name: getattr(letter, name) for name in FIELDS} | {"died": _died(letter)}
    return msgspec.json.encode(about | {"message": msgspec.Raw(letter.message.to_json())}).decode()


def _died(letter: DeadLetter) -> datetime:
    return datetime.fromtimestamp(letter.died, UTC)


def _chosen(url: str, position: int | None, group: str | None) -> list[DeadLetter]:
    letters = with_hub(url, lambda hub: _letters(hub, group))
    chosen = [letter for letter in letters if position in (None, letter.position)]
    if position is not None and not chosen:
        report(f"there is no dead letter {position}; `telex dead list` lists them")
        raise typer.Exit(Exit.ERROR)
    return chosen


def _act(
    url: str, position: int | None, group: str | None, act: Callable[[Hub, DeadLetter], Awaitable[bool]], done: str
) -> None:
    if position is None and group is None:
        report("give the number of a dead letter, or --group for all of a group")
        raise typer.Exit(Exit.USAGE)
    print_line(f"{len(for_each(url, _chosen(url, position, group), act))} {done}")
