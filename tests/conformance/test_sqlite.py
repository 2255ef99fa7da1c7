"""The suite on SQLite."""

from telex.engines import Engine, engine_for
from telex.testing.conformance import Conformance


class TestSQLite(Conformance):
    def engine(self) -> Engine:
        return engine_for(f"sqlite:///{self.place}/telex.db")
