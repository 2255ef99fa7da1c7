"""The suite on the engine that pretends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telex.engines import Engine
from telex.testing.conformance import Conformance
from tests.support.pretend import PretendEngine, Server, server_that_is_down
from tests.support.shifting import Shifting


class TestPretend(Shifting, Conformance):
    # Its server is an object of this process, so it cannot be killed by itself.
    test_what_was_acknowledged_survives_kill = None  # type: ignore[assignment]
    test_settlements_and_records_survive_kill = None  # type: ignore[assignment]

    def engine(self) -> Engine:
        if not hasattr(self, "server"):
            self.server = Server()
        return PretendEngine(self.server)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.server.stop()
        yield
        self.server.start()

    async def pass_time(self, seconds: float) -> None:
        self.server.ahead += seconds

    def unopenable(self) -> list[Engine]:
        return [PretendEngine(server_that_is_down())]
