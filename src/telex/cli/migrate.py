"""``telex migrate``: create the tables of a PostgreSQL database, or print the SQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.output import print_line, report

if TYPE_CHECKING:
    from telex.engines.postgres.address import ServerAddress

UrlOfServer = Annotated[
    str, typer.Argument(metavar="URL", envvar="TELEX_URL", help="postgresql://user@host/database?schema=telex")
]


def migrate(
    url: UrlOfServer,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a new schema, and do nothing.")] = False,
    role: Annotated[str | None, typer.Option(metavar="NAME", help="The role that the programs connect as.")] = None,
) -> None:
    """Create telex's schema in a PostgreSQL database, or upgrade it to this version.

    A program does this itself when its role has the rights. Otherwise run this command once with an administrator's
    URL, and give the program's role with --role.

    \b
    Examples:
      telex migrate postgresql://admin@host/shop --role shop
      telex migrate postgresql://admin@host/shop --sql --role shop | psql postgresql://admin@host/shop
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise typer.BadParameter("give the URL of a database, postgresql://user@host/database")
    from telex.engines.postgres import migrations
    from telex.engines.postgres.address import parse

    address = parse(url)
    if sql:
        typer.echo(migrations.script(address, 0, role), nl=False)
        return
    version = asyncio.run(_migrate(address, role))
    print_line(f"the schema {address.schema} of {address.shown} has version {version}")
    if role is None:
        report("only its owner may use it now; give another role the rights with --role NAME", bad=False)


async def _migrate(address: ServerAddress, role: str | None) -> int:
    from psycopg import Error

    from telex.engines.postgres import migrations, problems
    from telex.engines.postgres.connections import connect
    from telex.errors import ConnectFailed

    try:
        async with await connect(address) as connection:
            await migrations.prepare(connection, address)
            if role is not None:
                await connection.execute(migrations.grants(address, role).encode(), prepare=False)
            return await migrations.version_of(connection, address)
    except (Error, OSError, migrations.WrongSchema) as error:
        raise ConnectFailed(address.shown, problems.explain(error)) from None
