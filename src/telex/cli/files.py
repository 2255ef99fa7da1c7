"""What commands on files share: the option that names one, and the hub that is opened on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from telex.cli.exits import Exit, tell

if TYPE_CHECKING:
    from telex import Hub

R = TypeVar("R")
URL_HELP = "Where messages are kept: sqlite:///file.db"
Url = Annotated[str, typer.Option("--url", "-u", envvar="TELEX_URL", metavar="URL", help=URL_HELP)]
MaybeUrl = Annotated[str | None, typer.Option("--url", "-u", envvar="TELEX_URL", metavar="URL", help=URL_HELP)]
"""Of a command that has commands of its own: they have to be given it, and it lists without one of them."""


def file_of(url: str) -> Path:
    """The file that an ``sqlite:///`` URL names. Any other URL is wrong usage."""
    from telex.engines.sqlite.address import parse

    if not url.startswith("sqlite:"):
        given = url.partition("@")[2] or url
        meant = "file.db" if ":" in given else given
        tell(f"--url {given}: give the file that is meant, --url sqlite:///{meant}")
        raise typer.Exit(Exit.USAGE)
    return Path(parse(url).path)


def existing(url: str) -> Path:
    """The same, of a file that has to be there."""
    path = file_of(url)
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}; a path from the root has four slashes, sqlite:////"
        tell(f"there is no file {path}{where}")
        raise typer.Exit(Exit.ERROR)
    return path


def with_hub(url: str, work: Callable[[Hub], Awaitable[R]], *, create: bool = False) -> R:
    """Open a hub on the file of a URL, and work with it. Without ``create`` the file has to be there."""
    from telex import Hub

    _ = file_of(url) if create else existing(url)

    async def run() -> R:
        async with Hub(url) as hub:
            return await work(hub)

    return asyncio.run(run())


def to_list(ctx: typer.Context, url: str | None, json: bool) -> str | None:
    """The file of which a command is to list something; None when a command of its own was given, for which what stood
    before it is meant.
    """
    if ctx.invoked_subcommand is not None:
        given = ({"url": url} if url is not None else {}) | ({"json": True} if json else {})
        ctx.default_map = {ctx.invoked_subcommand: given}
        return None
    if url is None:
        raise typer.BadParameter("give the file that is meant, --url sqlite:///file.db", ctx, param_hint="'--url'")
    return url


def none_such(kind: str, which: str) -> typer.Exit:
    """Report that something is not there, and the command that lists its kind; the exception to raise then."""
    tell(f"there is no {kind} {which}; `telex {kind}s` shows those that are there")
    return typer.Exit(Exit.ERROR)


def print_json(found: object) -> None:
    """Print one line of JSON."""
    import msgspec

    typer.echo(msgspec.json.encode(found).decode())


def show(text: str) -> None:
    """Print one line that cannot move this terminal's cursor or change its colours."""
    typer.echo("".join(c if c.isprintable() else " " for c in text))
