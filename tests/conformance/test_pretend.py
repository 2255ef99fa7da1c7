"""The suite on `PretendEngine`, an engine with a server that is an object."""

from random import getrandbits

from telex.engines import Engine
from telex.testing.conformance import Conformance
from tests.support.pretending import Pretending


class TestPretend(Pretending, Conformance):
    # Its server is an object of this process, so it cannot be killed by itself.
    test_acknowledged_messages_survive_kill = None  # type: ignore[assignment]
    test_settlements_and_records_survive_kill = None  # type: ignore[assignment]


class TestPretendWithGaps(Pretending, Conformance):
    """The whole suite, when the numbers of messages have gaps. No test knows a number in advance."""

    test_acknowledged_messages_survive_kill = None  # type: ignore[assignment]
    test_settlements_and_records_survive_kill = None  # type: ignore[assignment]
    seed = getrandbits(32)

    def engine(self) -> Engine:
        print(f"the numbers of messages are drawn with the seed {self.seed}")
        return super().engine()
