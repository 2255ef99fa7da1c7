"""PostgreSQL servers for one measurement, with the settings that PostgreSQL has by itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.question import Absent
from tests.support.postgres import PostgresServer, programs, startable, url_of

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


KEPT = Path(__file__).parents[1] / ".cache" / "postgres"


@contextmanager
def kept(name: str, fill: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
    """As `server`, with data that stays for the next time; ``fill`` makes it."""
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
