"""PostgreSQL servers for one measurement, with the settings that PostgreSQL has by itself."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.question import Absent
from tests.support.postgres import PostgresServer, programs, startable, url_of

OPTIONS = ("-c", "listen_addresses=")
SHARED = "BENCH_POSTGRES"
"""The environment variable with the connection string of a server that all measurements use, one after the other. Each
deletes the tables of those before it.
"""
EMPTY = "DROP SCHEMA IF EXISTS telex, public CASCADE; CREATE SCHEMA public"


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """The URL of telex's engine, and the connection string, of a server that is stopped when this is left."""
    shared = os.environ.get(SHARED)
    if shared:
        _empty(shared)
        yield url_of(shared, "telex"), shared
        return
    try:
        with startable(OPTIONS) as found:
            found.start()
            yield url_of(found.conninfo, "telex"), found.conninfo
    except AssertionError as error:
        raise Absent(str(error)) from None


def _empty(conninfo: str) -> None:
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(EMPTY.encode())


KEPT = Path(__file__).parents[1] / ".cache" / "postgres"


@contextmanager
def kept(name: str, fill: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
    """As `server`, with data that stays for the next time; ``fill`` makes it."""
    if os.environ.get(SHARED):
        with server() as (url, conninfo):
            fill(url, conninfo)
            yield url, conninfo
        return
    folder = KEPT / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = PostgresServer(programs(), folder, OPTIONS)
        found.start()
    except AssertionError as error:
        raise Absent(str(error)) from None
    try:
        url, filled = url_of(found.conninfo, "telex"), folder / "filled"
        if not filled.exists():
            fill(url, found.conninfo)
            filled.touch()
        yield url, found.conninfo
    finally:
        found.stop()
