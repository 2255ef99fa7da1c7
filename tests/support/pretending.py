"""The part of a conformance suite that makes and stops the server of `PretendEngine`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telex.engines import Engine
from tests.support.pretend import PretendEngine, Server, server_that_is_down
from tests.support.shifting import Shifting


class Pretending(Shifting):
    """Suites whose engines share one server, which is an object of this process."""

    seed: int | None = None

    def engine(self) -> Engine:
        if not hasattr(self, "server"):
            self.server = Server(self.seed)
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
