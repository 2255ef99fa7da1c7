"""Transactions without asyncio."""

from pathlib import Path

import pytest

import telex
from telex.blocking import Hub


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db?synchronous=normal"


def contents(hub: Hub, topic: str) -> list[object]:
    return [message.content for message in hub.topic(topic).history() if isinstance(message, telex.Message)]


def test_messages_and_rows_are_committed_together(url: str) -> None:
    with Hub(url) as hub:
        with hub.transaction(timeout=5) as tx:
            tx.execute("CREATE TABLE bills (number INTEGER)")
            tx.execute("INSERT INTO bills VALUES (:number)", {"number": 7})
            sent = tx.publish("orders", 7, id="one", headers={"by": "ann"}, key="k")
            assert contents(hub, "orders") == [], "it is not committed yet"
        (kept,) = hub.topic("orders").history()
        assert isinstance(kept, telex.Message)
        assert (kept.id, kept.content, kept.headers, kept.key) == (sent.id, 7, {"by": "ann"}, "k")
        with hub.transaction() as tx:
            assert tx.run(lambda connection: connection.execute("SELECT number FROM bills").fetchall()) == [(7,)]


def test_an_exception_rolls_all_back_and_reaches_the_caller(url: str) -> None:
    with Hub(url) as hub:
        with hub.transaction() as tx:
            tx.execute("CREATE TABLE bills (number INTEGER)")

        def fail() -> None:
            with hub.transaction() as tx:
                tx.publish("orders", 8)
                tx.execute("INSERT INTO bills VALUES (8)")
                raise LookupError("no price")

        with pytest.raises(LookupError, match="no price"):
            fail()
        assert contents(hub, "orders") == []
        with hub.transaction() as tx:
            assert tx.execute("SELECT * FROM bills") == []


def test_a_topic_may_be_given_instead_of_its_name(url: str) -> None:
    with Hub(url) as hub:
        with hub.transaction() as tx:
            tx.publish(hub.topic("orders"), 1)
            tx.publish("orders", 2)
        assert contents(hub, "orders") == [1, 2]


def test_the_thread_may_publish_again_after_a_transaction_however_it_ended(url: str) -> None:
    with Hub(url) as hub:
        with hub.transaction() as tx:
            tx.publish("orders", 1)
            with pytest.raises(telex.Misuse, match=r"tx\.publish"):
                hub.topic("orders").publish(0)
        hub.topic("orders").publish(2)
        with pytest.raises(LookupError), hub.transaction() as tx:
            raise LookupError
        hub.topic("orders").publish(3)
        assert contents(hub, "orders") == [1, 2, 3]


def test_a_transaction_that_has_been_left_is_refused(url: str) -> None:
    with Hub(url) as hub:
        with hub.transaction() as tx:
            tx.publish("orders", 1)
        with pytest.raises(telex.TelexError):
            tx.publish("orders", 2)
        assert contents(hub, "orders") == [1]


def test_memory_has_transactions_of_messages_and_no_sql() -> None:
    with Hub("memory://") as hub:
        with hub.transaction() as tx:
            tx.publish("orders", 1)
            with pytest.raises(telex.TelexError, match=r"sqlite:///file\.db"):
                tx.execute("SELECT 1")
        assert contents(hub, "orders") == [1]
