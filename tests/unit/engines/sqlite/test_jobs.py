"""The jobs of the thread that writes."""

import sqlite3
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any

import telex
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.files import writing
from telex.engines.sqlite.jobs import Guarded
from telex.engines.sqlite.ledger import Ledger


def test_a_function_that_fails_half_way_is_undone(tmp_path: Path) -> None:
    with closing(writing(parse(f"sqlite:///{tmp_path}/telex.db"))) as connection:
        connection.execute("BEGIN")
        ledger = Ledger(connection)

        def half(connection: sqlite3.Connection, now: float) -> None:
            connection.execute("INSERT INTO telex_removed VALUES ('half', 1)")
            raise KeyError("then it fails")

        def whole(connection: sqlite3.Connection, now: float) -> None:
            connection.execute("INSERT INTO telex_removed VALUES ('whole', 1)")

        future: Any = None  # nobody waits
        jobs = [Guarded(function, future) for function in (whole, half)]
        for job in jobs:
            job.perform(ledger, time())
        connection.execute("COMMIT")
        assert [type(job.error) for job in jobs] == [type(None), telex.EngineFailed]
        assert connection.execute("SELECT name FROM telex_removed").fetchall() == [("whole",)]
