"""The suite on ``memory://``."""

from telex.engines import Engine
from telex.engines.memory.engine import MemoryEngine
from telex.testing.conformance import Conformance
from tests.support.shifting import Shifting


class TestMemory(Shifting, Conformance):
    def engine(self) -> Engine:
        engine: Engine = self.shifted(MemoryEngine())
        return engine
