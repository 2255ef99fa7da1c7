"""The blocking facade has every method and option of the async classes."""

import inspect
import signal
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.groups.admin import GroupAdmin
from telex.middleware import Next
from telex.testing.clock import VirtualClock
from telex.topics.subscription import Subscription
from tests.support.internals import log_of

PAIRS: dict[type[Any], type[Any]] = {
    telex.Hub: telex.blocking.Hub,
    telex.Topic: telex.blocking.Topic,
    Subscription: telex.blocking.Subscription,
    telex.Ticket: telex.blocking.Ticket,
    telex.Follower: telex.blocking.Follower,
    telex.Transaction: telex.blocking.Transaction,
    telex.Trigger: telex.blocking.Trigger,
    telex.Variable: telex.blocking.Variable,
    GroupAdmin: telex.blocking.Groups,
}
RENAMED = {"aclose": "close"}
# What the objects of a hub do with each other, and what is needless where every call may come from any thread.
LEFT_OUT: dict[type[Any], set[str]] = {
    telex.Hub: {"forked"},
    telex.Topic: {"publish_threadsafe"},
    telex.Ticket: {"settle", "tell", "value", "close"},
    telex.Trigger: {"start", "last", "next", "fired", "failed", "late", "paused", "paused_elsewhere", "ended"},
    telex.Variable: {"set_nowait", "add_nowait", "update_nowait"},
}


def methods(cls: type[Any]) -> list[str]:
    """The public methods and properties of a class, apart from those that are left out."""
    members = inspect.getmembers(cls, lambda member: inspect.isfunction(member) or isinstance(member, property))
    return [name for name, _ in members if not name.startswith("_") and name not in LEFT_OUT.get(cls, ())]


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls in PAIRS for name in methods(cls)])
def test_each_method_is_there_with_the_same_parameters(cls: type[Any], name: str) -> None:
    member = getattr(cls, name)
    same = getattr(PAIRS[cls], RENAMED.get(name, name))
    if isinstance(member, property):
        assert isinstance(same, property)
    else:
        assert parameters(same) == parameters(member)


def test_the_hub_is_made_with_the_same_parameters() -> None:
    assert parameters(telex.blocking.Hub.__init__) == parameters(telex.Hub.__init__)


def parameters(function: Any) -> list[tuple[str, object, object]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_a_published_message_has_its_key_and_its_time() -> None:
    clock = VirtualClock()
    with telex.blocking.Hub(clock=clock) as hub, hub.topic("a").subscribe() as inbox:
        topic = hub.topic("a", int)
        assert topic.type is int
        assert topic.publish(1, key="k").key == "k"
        assert topic.publish_nowait(2).seq == 2
        assert topic.publish(3, delay="1h").seq == 0
        assert topic.publish(4, at=clock.now - timedelta(days=1)).seq == 3
        assert [message.content for batch in [inbox.receive_many_nowait()] for message in batch] == [1, 2, 4]
        hub.remove("a")
        assert list(inbox.batches()) == []


def test_middleware_stands_around_handlers() -> None:
    seen: list[object] = []

    def watch(next: Next) -> Next:
        async def step(message: telex.Message[Any]) -> object:
            seen.append(message.content)
            return await next(message)

        return step

    hub = telex.blocking.Hub(middleware=[watch])

    @hub.on("a")
    def handle(content: int) -> None:
        seen.append(-content)

    with hub:
        hub.topic("a").publish(1)
    assert seen == [1, -1]


def test_triggers_and_variables() -> None:
    hub = telex.blocking.Hub()
    fired: list[str] = []
    count = hub.variable("signups", 0)

    @hub.when(count >= 2, name="many")
    def many() -> None:
        fired.append("many")

    nightly = hub.cron("0 3 * * *", topic="nights", name="nightly")
    with hub, hub.topic("nights").subscribe() as nights, hub.topic("later").subscribe() as later:
        assert (count.add(1), count.update(lambda n: n + 1), count.value) == (1, 2, 2)
        nightly.fire()
        assert nights.receive(timeout=5).content.trigger == "nightly"
        nightly.pause()
        assert [trigger.paused for trigger in hub.triggers() if trigger.trigger == "nightly"] == [True]
        hub.trigger("nightly").resume()
        assert not nightly.statistics().paused
        hub.after(0.001, topic="later")  # declared while the hub is open
        assert later.receive(timeout=5).content.trigger == "later"
        nightly.cancel()
        assert nightly.statistics().ended
        with pytest.raises(telex.BadOption):
            hub.every("10s", jitter="20s", name="wrong")
    assert fired == ["many"]
    with pytest.raises(telex.Misuse):
        bool(count)


@pytest.mark.slow
def test_groups_and_transactions_of_a_file(tmp_path: Path) -> None:
    hub = telex.blocking.Hub(f"sqlite:///{tmp_path}/shop.db")

    tries: list[int] = []
    again = threading.Event()

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=1))
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


class Interrupted(Exception):
    """Ctrl-C, in a test."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interrupted_receive_takes_no_message() -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with telex.blocking.Hub() as hub, hub.topic("a").subscribe() as inbox:
            parked = log_of(hub.topic("a")._topic).observer.waiters

            def when_it_waits() -> None:
                while not parked:
                    threading.Event().wait(0.001)
                signal.pthread_kill(main, signal.SIGUSR1)

            thread = threading.Thread(target=when_it_waits)
            thread.start()
            with pytest.raises(Interrupted):
                inbox.receive(timeout=10)
            thread.join()
            hub.topic("a").publish(1)
            assert inbox.receive(timeout=5).content == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
