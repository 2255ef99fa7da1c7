"""Commands on a file: they open a hub on the file of an ``sqlite:///`` URL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from telex.cli.exits import Exit
from telex.cli.options import no_file
from telex.cli.output import report

if TYPE_CHECKING:
    from telex import Hub

T = TypeVar("T")


def path_of(url: str) -> Path:
    """Return the path in an ``sqlite:///`` URL. Any other URL is wrong usage."""
    from telex.engines.sqlite.address import parse

    if not url.startswith("sqlite:"):
        given = url.partition("@")[2] or url
        meant = "file.db" if ":" in given else given
        report(f"--url {given}: name the file, --url sqlite:///{meant}")
        raise typer.Exit(Exit.USAGE)
    return Path(parse(url).path)


def existing(url: str) -> Path:
    """Return the path in an ``sqlite:///`` URL, of a file that exists."""
    path = path_of(url)
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}; an absolute path has four slashes, sqlite:////"
        report(f"there is no file {path}{where}")
        raise typer.Exit(Exit.ERROR)
    return path


def with_hub(url: str, work: Callable[[Hub], Awaitable[T]], *, create: bool = False) -> T:
    """Open a hub on the file or server of a URL, and return the result of ``work``. Without ``create`` a file has to
    exist.
    """
    from telex import Hub

    if not url.startswith(("postgresql://", "postgres://")):
        _ = path_of(url) if create else existing(url)

    async def run() -> T:
        async with Hub(url) as hub:
            return await work(hub)

    return asyncio.run(run())


def for_each(url: str, chosen: Sequence[T], act: Callable[[Hub, T], Awaitable[bool]]) -> list[T]:
    """Call ``act`` for each item, on one hub. Return the items for which it returned True."""

    async def act_on_all(hub: Hub) -> list[T]:
        return [item for item in chosen if await act(hub, item)]

    return with_hub(url, act_on_all)


def file_to_list(ctx: typer.Context, url: str | None, json: bool) -> str | None:
    """Return the URL for a command that lists something. Return None for a subcommand, which then gets the options
    that stood before it."""
    if ctx.invoked_subcommand is not None:
        given = ({"url": url} if url is not None else {}) | ({"json": True} if json else {})
        ctx.default_map = {ctx.invoked_subcommand: given}
        return None
    if url is None:
        raise no_file(ctx)
    return url


def not_found(kind: str, name: str) -> typer.Exit:
    """Report that there is no such topic, group or trigger; return the exception to raise."""
    report(f"there is no {kind} {name}; `telex {kind}s` lists them")
    return typer.Exit(Exit.ERROR)
