"""A PostgreSQL server for one measurement, with the settings that PostgreSQL has by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.question import Absent
from tests.support.postgres import startable, url_of

OPTIONS = ("-c", "listen_addresses=")


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """The URL of telex's engine, and the connection string, of a server that is stopped when this is left."""
    try:
        with startable(OPTIONS) as found:
            found.start()
            yield url_of(found.conninfo, "telex"), found.conninfo
    except AssertionError as error:
        raise Absent(str(error)) from None
