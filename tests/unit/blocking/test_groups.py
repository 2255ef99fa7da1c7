"""Groups without asyncio."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest

import telex


@pytest.mark.slow
def test_groups_and_transactions_of_a_file(tmp_path: Path) -> None:
    hub = telex.blocking.Hub(f"sqlite:///{tmp_path}/shop.db")

    tries: list[int] = []
    again = threading.Event()

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=1), run_in="loop")
    def bill(order: int) -> None:
        tries.append(order)
        if len(tries) == 1:
            raise ValueError("it cannot be paid")
        again.set()

    with hub:
        with hub.topic("dead:billing").subscribe() as dead:
            with hub.transaction() as tx:
                tx.execute("CREATE TABLE bills (id INTEGER)")
                tx.run(lambda connection: connection.execute("INSERT INTO bills VALUES (7)").fetchall())
                tx.publish(hub.topic("orders"), 7)
            assert dead.receive(timeout=5).content == 7
        with suppress(LookupError), hub.transaction() as tx:
            tx.publish("orders", 8)
            raise LookupError("it is rolled back")
        assert len(list(hub.topic("orders").history())) == 1
        (letter,) = hub.groups.dead("billing")
        assert hub.groups.retry(letter)
        assert not hub.groups.drop(letter)
        assert again.wait(5)
        assert [info.group for info in hub.groups.list()] == ["billing"]
        assert hub.groups.pause("billing")
        assert hub.groups.resume("billing", "orders")
        assert hub.groups.forget("billing", "orders")
