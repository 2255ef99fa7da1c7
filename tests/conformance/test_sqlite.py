"""The suite on SQLite."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from telex.engines import Engine, engine_for
from telex.testing.conformance import Conformance
from tests.support.shifting import Shifting


def unopenable(place: Path) -> Iterator[str]:
    """Iterate over URLs that cannot be opened: a folder, a text file, a file of another program, a missing folder."""
    (place / "folder").mkdir(exist_ok=True)
    yield f"sqlite:///{place}/folder"
    (place / "text").write_text("dear diary\n" * 1000)
    yield f"sqlite:///{place}/text"
    connection = sqlite3.connect(place / "foreign.db")
    connection.execute("CREATE TABLE IF NOT EXISTS telex_messages (what)")
    connection.commit()
    connection.close()
    yield f"sqlite:///{place}/foreign.db"
    yield f"sqlite:///{place}/no/folder/a.db"


class TestSQLite(Shifting, Conformance):
    def engine(self) -> Engine:
        engine: Engine = self.shifted(engine_for(f"sqlite:///{self.place}/telex.db"))
        return engine

    def unopenable(self) -> Iterator[Engine]:
        return map(engine_for, unopenable(self.place))
