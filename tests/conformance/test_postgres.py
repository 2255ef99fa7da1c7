"""The suite on PostgreSQL, on a server that the tests start. Each test has a schema of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest

from telex.engines import Engine, engine_for
from telex.testing.conformance import Conformance
from tests.support.postgres import url_of
from tests.support.shifting import Shifting

pytestmark = pytest.mark.slow
_END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'telex'"


def unopenable(url: str) -> Iterator[str]:
    """Iterate over URLs that cannot be opened: an unknown database, an unknown user, a port without a server."""
    yield url.replace("/postgres?", "/nothing?")
    yield url.replace("telex@", "nobody@")
    yield "postgresql://telex@127.0.0.1:1/postgres"


class TestPostgres(Shifting, Conformance):
    conninfo = "host=/nowhere user=telex dbname=postgres"

    # The schema goes with the server: to drop it takes a quarter of the time of a test.
    @pytest.fixture(autouse=True)
    def server(self, postgres: str) -> None:
        self.conninfo = postgres

    @property
    def schema(self) -> str:
        return self.place.name.lower().replace("-", "_")

    def engine(self) -> Engine:
        return engine_for(url_of(self.conninfo, self.schema))

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        folder = Path(str(psycopg.conninfo.conninfo_to_dict(self.conninfo)["host"]))
        there, away = folder / ".s.PGSQL.5432", folder / "away"
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
            await asyncio.to_thread(there.rename, away)
            try:
                await connection.execute(_END_ALL)
                yield
            finally:
                await asyncio.to_thread(away.rename, there)

    async def pass_time(self, seconds: float) -> None:
        """Set the clock of leases forward. The clock is a function in the schema."""
        self.ahead += seconds
        clock = f"""CREATE OR REPLACE FUNCTION "{self.schema}".clock() RETURNS float8 LANGUAGE sql VOLATILE AS $$
            SELECT extract(epoch FROM clock_timestamp())::float8 + {self.ahead} $$"""
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
            await connection.execute(clock.encode())

    def unopenable(self) -> Iterator[Engine]:
        return map(engine_for, unopenable(url_of(self.conninfo, self.schema)))
