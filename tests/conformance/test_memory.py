"""The suite on ``memory://``."""

from telex.engines import Engine
from telex.engines.memory.engine import MemoryEngine
from telex.testing.conformance import Conformance


class TestMemory(Conformance):
    def engine(self) -> Engine:
        return MemoryEngine()
