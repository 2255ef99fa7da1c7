"""Commands on a URL: they open a hub on its file or database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from telex.cli.exits import Exit
from telex.cli.options import no_file
from telex.cli.output import report
from telex.names import shown_url

if TYPE_CHECKING:
    from telex import Hub

T = TypeVar("T")


SERVERS = ("postgresql://", "postgres://")
"""The schemes of PostgreSQL."""


def is_server(url: str) -> bool:
    """Return True for the URL of a PostgreSQL database."""
    return url.startswith(SERVERS)


def path_of(url: str) -> Path:
    """Return the path in an ``sqlite:///`` URL. End the program for any other URL."""
    from telex.engines.sqlite.address import parse

    if not url.startswith("sqlite:"):
        raise _wrong(url)
    return Path(parse(url).path)


def check_url(url: str) -> None:
    """End the program when a URL is a path, or names an engine whose messages no other program can read."""
    if "://" not in url and not url.startswith("sqlite:"):
        raise _wrong(url)
    if url.startswith("memory:"):
        report("memory:// has no messages of other programs: give --url sqlite:///file.db or a database")
        raise typer.Exit(Exit.USAGE)
    if is_server(url) and find_spec("psycopg") is None:
        report("a PostgreSQL database needs more packages: pip install 'telex[postgres]'")
        raise typer.Exit(Exit.ERROR)


def _wrong(url: str) -> typer.Exit:
    given = shown_url(url).removeprefix("...")
    meant = "file.db" if ":" in given or not given else given
    report(
        f"--url {given or repr(given)}: name the file, --url sqlite:///{meant}, or a database, postgresql://user@host/database"
    )
    return typer.Exit(Exit.USAGE)


def check_there(url: str) -> None:
    """End the program when the file of a URL does not exist, or the database has no schema of telex."""
    check_url(url)
    if url.startswith("sqlite:"):
        _ = existing(url)
    elif is_server(url):
        from telex.engines.postgres.summary import check_schema

        asyncio.run(check_schema(url))


def existing(url: str) -> Path:
    """Return the path in an ``sqlite:///`` URL. End the program when there is no such file."""
    path = path_of(url)
    try:
        there = path.exists()
    except OSError as error:  # of a name that is too long
        report(f"{path} cannot be read: {error.strerror}; give another name")
        raise typer.Exit(Exit.ERROR) from None
    if not there:
        where = "" if path.is_absolute() else f" in {Path.cwd()}; an absolute path has four slashes, sqlite:////"
        report(f"there is no file {path}{where}")
        raise typer.Exit(Exit.ERROR)
    return path


def with_hub(url: str, work: Callable[[Hub], Awaitable[T]], *, create: bool = False, exact: bool = False) -> T:
    """Open a hub on the file or database of a URL, and return the result of ``work``. Without ``create`` a file has to
    exist, and a database has to have the schema. ``exact`` reads encoded content as it is stored; else only content
    whose codec or transform the program does not have.
    """
    from telex import Hub
    from telex.hub import keep_encoded

    if create:
        check_url(url)
    else:
        check_there(url)

    async def run() -> T:
        async with keep_encoded(Hub(url), "all" if exact else "unknown") as hub:
            return await work(hub)

    return asyncio.run(run())


def check_opens(url: str | None, *, create: bool = True) -> None:
    """Open a hub and close it, before a server runs, which would print a traceback. Raises the errors of opening.
    Without ``create`` a file has to exist. None is the URL in ``TELEX_URL``, or memory.
    """
    if url is not None and not create and not is_server(url):
        existing(url)

    from telex import Hub

    async def run() -> None:
        async with Hub(url):
            pass

    asyncio.run(run())


def for_each(url: str, chosen: Sequence[T], act: Callable[[Hub, T], Awaitable[bool]]) -> list[T]:
    """Call ``act`` for each item, on one hub. Return the items for which it returned True."""

    async def act_on_all(hub: Hub) -> list[T]:
        return [item for item in chosen if await act(hub, item)]

    return with_hub(url, act_on_all)


def file_to_list(ctx: typer.Context, url: str | None, json: bool) -> str | None:
    """Return the URL for a command that lists something. Return None for a subcommand, which gets the options before
    its name.
    """
    if ctx.invoked_subcommand is not None:
        given = ({"url": url} if url is not None else {}) | ({"json": True} if json else {})
        ctx.default_map = {ctx.invoked_subcommand: given}
        return None
    if url is None:
        raise no_file(ctx)
    return url


def not_found(kind: str, name: str) -> typer.Exit:
    """Report that no topic, group or trigger has this name. Return the exception to raise."""
    report(f"there is no {kind} {name}; `telex {kind}s` lists them")
    return typer.Exit(Exit.ERROR)
