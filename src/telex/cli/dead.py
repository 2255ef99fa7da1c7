"""``telex dead``: list, show, retry and drop dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.files import for_each, not_found, with_hub
from telex.cli.history import line_of
from telex.cli.options import Json, Url
from telex.cli.output import print_line, print_table, report

if TYPE_CHECKING:
    from telex import DeadLetter, Hub

Which = Annotated[int | None, typer.Argument(help="The number of one dead letter, instead of --group.")]
Group = Annotated[str | None, typer.Option("--group", "-g", help="Only the dead letters of this group.")]
Position = Annotated[int, typer.Argument(help="The dead letter, as `telex dead list` numbers it.")]
_DEAD = """List, show, retry and drop dead letters: messages whose last attempt failed, or that a handler rejected.

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
def dead_show(position: Position, url: Url) -> None:
    """Print one dead letter as JSON, with its message.

    \b
    Examples:
      telex dead show 17 --url sqlite:///shop.db | jq .message.content
    """
    typer.echo(_letter_json(_chosen(url, position, None)[0]))


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
    letters = await hub.groups.dead(group)
    if not letters and group is not None and all(info.group != group for info in await hub.groups.list()):
        raise not_found("group", group)
    return letters


def _letter_json(letter: DeadLetter) -> str:
    import msgspec

    about = {name: getattr(letter, name) for name in ("position", "group", "pattern", "attempts", "reason", "died")}
    return msgspec.json.encode(about | {"message": msgspec.Raw(letter.message.to_json())}).decode()


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
