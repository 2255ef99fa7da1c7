"""Schemas for the tests of this folder: one for functions of SQL, one for engines."""

from collections.abc import Iterator

import psycopg
import pytest

from telex.engines.postgres import migrations
from telex.engines.postgres.address import parse
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import Sql


@pytest.fixture(scope="session")
def functions(postgres: str) -> str:
    """The name of a schema in which nothing is committed."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(migrations.script(parse(url_of(postgres, "functions"))).encode())
    return "functions"


@pytest.fixture
def sql(postgres: str, functions: str) -> Iterator[Sql]:
    """A transaction in that schema. It is rolled back after the test."""
    with psycopg.connect(postgres) as connection:
        connection.execute(f"SET search_path = {functions}".encode())
        yield Sql(connection)
        connection.rollback()


@pytest.fixture(scope="session")
def engines(postgres: str) -> str:
    """The URL of a schema that the engines of several tests use, each with topics of its own."""
    url = url_of(postgres, "engines")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(migrations.script(parse(url)).encode())
    return url
