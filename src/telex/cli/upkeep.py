"""``telex check`` and ``telex compact``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.files import existing, is_server
from telex.cli.options import OptionalUrl, is_given, no_file
from telex.cli.output import print_line, report

File = Annotated[str | None, typer.Argument(metavar="[FILE]", help="The path of the file, instead of --url.")]

CHECKED = "check reads files; of a PostgreSQL database run pg_amcheck, or pg_checksums while its server is stopped"
COMPACTED = "compact shrinks files; in a PostgreSQL database autovacuum reuses the space, and VACUUM FULL returns it"


def check(ctx: typer.Context, file: File = None, url: OptionalUrl = None) -> None:
    """Read a whole file and report all damage. The command changes nothing. For a PostgreSQL database use pg_amcheck.

    \b
    Examples:
      telex check --url sqlite:///shop.db
      telex check shop.db
    """
    from telex.engines.sqlite.upkeep import check

    path = _path(ctx, file, url, CHECKED)
    problems = check(path)
    for problem in problems:
        report(problem)
    if problems:
        raise typer.Exit(Exit.ERROR)
    print_line(f"{path} is in order")


def compact(ctx: typer.Context, file: File = None, url: OptionalUrl = None) -> None:
    """Shrink a file by the space of deleted messages. No program may have the file open. PostgreSQL databases have
    autovacuum instead.

    \b
    Examples:
      telex compact --url sqlite:///shop.db
      telex compact shop.db
    """
    from telex.engines.sqlite.upkeep import compact

    path = _path(ctx, file, url, COMPACTED)
    before, after = compact(path)
    print_line(f"{path}: {before:,} bytes before, {after:,} now")


def _path(ctx: typer.Context, file: str | None, url: str | None, on_server: str) -> Path:
    if file is not None and url is not None and is_given(ctx, "url"):
        raise typer.BadParameter("give the file or --url, not both", ctx, param_hint="'--url'")
    if is_server(file or url or ""):
        report(on_server)
        raise typer.Exit(Exit.USAGE)
    if file is not None:
        return existing(file) if file.startswith("sqlite:") else Path(file)
    if url is None:
        raise no_file(ctx)
    return existing(url)
