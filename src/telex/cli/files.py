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


def with_hub(url: str, work: Callable[[Hub], Awaitable[R]]) -> R:
    """Open a hub on what is there already, and work with it."""
    from telex import Hub
    from telex.engines.sqlite.address import parse

    if not url.startswith("sqlite:"):
        tell(f"--url {url.partition('@')[2] or url}: give the file that is meant, --url sqlite:///file.db")
        raise typer.Exit(Exit.USAGE)
    path = Path(parse(url).path)
    if not path.exists():
        tell(f"there is no file {path}")
        raise typer.Exit(Exit.ERROR)

    async def run() -> R:
        async with Hub(url) as hub:
            return await work(hub)

    return asyncio.run(run())


def show(text: str) -> None:
    """Print one line that cannot move this terminal's cursor or change its colours."""
    typer.echo("".join(c if c.isprintable() else " " for c in text))
