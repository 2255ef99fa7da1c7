"""The blocking facade has every method and option of the async classes."""

import inspect
from datetime import timedelta
from typing import Any

import pytest

import telex
from telex.groups.admin import GroupAdmin
from telex.middleware import Next
from telex.testing.clock import VirtualClock
from telex.topics.subscription import Subscription

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


def parameters(function: Any) -> list[tuple[str, object, object]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("cls", PAIRS)
def test_each_method_is_there_with_the_same_parameters(cls: type[Any]) -> None:
    for name in methods(cls):
        member = getattr(cls, name)
        same = getattr(PAIRS[cls], RENAMED.get(name, name))
        if isinstance(member, property):
            assert isinstance(same, property), name
        else:
            assert parameters(same) == parameters(member), name


def test_the_hub_is_made_with_the_same_parameters() -> None:
    assert parameters(telex.blocking.Hub.__init__) == parameters(telex.Hub.__init__)


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
        assert topic.publish(5).seq == 1
        assert next(iter(inbox.batches()))[0].content == 5


def test_middleware_stands_around_handlers() -> None:
    seen: list[object] = []

    def watch(next: Next) -> Next:
        async def step(message: telex.Message[Any]) -> object:
            seen.append(message.content)
            return await next(message)

        return step

    hub = telex.blocking.Hub(middleware=[watch])

    @hub.on("a", run_in="loop")
    def handle(content: int) -> None:
        seen.append(-content)

    with hub:
        hub.topic("a").publish(1)
    assert seen == [1, -1]
