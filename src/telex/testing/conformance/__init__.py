"""The conformance suite: tests of every engine, chosen by the guarantees that it declares.

Three lines of pytest run it on an engine of your own:

    class TestMine(telex.testing.conformance.Conformance):
        def engine(self) -> telex.engines.Engine:
            return MyEngine(self.place)

A test whose guarantee the engine does not declare is None in the class, so it is neither run nor skipped; `undeclared`
lists these. ``TELEX_CONFORMANCE=full`` in the environment makes the tests large. The parts:

suite, rig          what tests stand on: a place, a loop, an engine without a hub
life                opening, closing, cancelling
connection          a server that is not reached for a while
store               what is kept, read, found, removed, retained
following           what is delivered, and the end of it
sharing             what several engines have in common, and what a restart and a kill leave
groups, ordering    consumer groups
seeking             groups that are moved
fetching            fetches that wait
records             compare-and-set
later               delayed messages, transactions
delivery, overflow, history, work, together    all of it through a `telex.Hub`
"""

from __future__ import annotations

from telex.engines.contract import Engine
from telex.testing.conformance import suite
from telex.testing.conformance.connection import ConnectionTests
from telex.testing.conformance.delivery import DeliveryTests
from telex.testing.conformance.fetching import FetchTests
from telex.testing.conformance.following import FollowingTests
from telex.testing.conformance.groups import GroupTests
from telex.testing.conformance.history import HistoryTests
from telex.testing.conformance.later import DelayedTests, TransactionTests
from telex.testing.conformance.life import LifeTests
from telex.testing.conformance.ordering import GroupOrderTests
from telex.testing.conformance.overflow import OverflowTests
from telex.testing.conformance.records import RecordTests
from telex.testing.conformance.seeking import SeekTests
from telex.testing.conformance.sharing import DurableTests, SharedTests
from telex.testing.conformance.store import StoreTests
from telex.testing.conformance.suite import Undeclared
from telex.testing.conformance.together import TogetherTests
from telex.testing.conformance.work import WorkTests

__all__ = ["Conformance", "Undeclared", "undeclared"]


class Conformance(
    LifeTests,
    ConnectionTests,
    StoreTests,
    FollowingTests,
    SharedTests,
    DurableTests,
    GroupTests,
    GroupOrderTests,
    SeekTests,
    FetchTests,
    RecordTests,
    DelayedTests,
    TransactionTests,
    DeliveryTests,
    OverflowTests,
    HistoryTests,
    WorkTests,
    TogetherTests,
):
    """The whole suite. A subclass gives the engine."""


def undeclared(engine: Engine) -> list[Undeclared]:
    """Return the tests of the suite that do not apply to ``engine``, each with the guarantees that it does not
    declare.
    """
    return suite.undeclared(engine, Conformance)
