from collections.abc import Iterator

import pytest

from tests.support.postgres import server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL server."""
    with server() as conninfo:
        yield conninfo
