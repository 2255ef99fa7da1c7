from journal_engine import JournalEngine

import telex.testing.conformance
from telex.engines import Engine


class TestJournal(telex.testing.conformance.Conformance):
    def engine(self) -> Engine:
        return JournalEngine(self.place / "journal")
