"""Edges of the kernel, of handlers and of what is about them, one each; `tests/mutants/hand.py` names the bug."""

import asyncio
import concurrent.futures
import threading
from typing import Any

import msgspec
import pytest

import telex
import telex.blocking
from tests.support.loops import idle


def is_struct(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)


async def test_losses_of_a_handler_are_counted_over_a_removal() -> None:
    hub, go_on = telex.Hub(), asyncio.Event()

    @hub.on("a", buffer=2, overflow="drop_newest")
    async def slow(content: int) -> None:
        await go_on.wait()

    async with hub:
        for number in range(11):
            await hub.topic("a").publish(number)
        await idle()
        (before,) = hub.statistics().handlers
        await hub.remove("a")
        go_on.set()
        await idle()
        await hub.topic("a").publish("in the next epoch")
        await idle()
        (after,) = hub.statistics().handlers
        assert before.lost == after.lost > 0
        assert after.handled + after.lost == 12


def test_an_interrupted_receive_takes_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with telex.blocking.Hub() as hub, hub.topic("a").subscribe() as inbox:
        ends = threading.Event()
        result = concurrent.futures.Future.result

        def interrupted(future: Any, timeout: float | None = None) -> Any:
            if not ends.is_set():
                ends.set()
                raise KeyboardInterrupt
            return result(future, timeout)

        monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            inbox.receive(timeout=30)
        monkeypatch.undo()
        hub.topic("a").publish(1)
        assert inbox.receive(timeout=5).content == 1


STRUCTS = [name for name in telex.__all__ if is_struct(getattr(telex, name)) and name != "Message"]


@pytest.mark.parametrize("name", STRUCTS)  # a message is numbered when it is published
def test_public_structs_cannot_be_changed(name: str) -> None:
    assert getattr(telex, name).__struct_config__.frozen


async def test_a_group_takes_few_turns_for_many_messages() -> None:
    hub, handled, turns = telex.Hub("memory://"), list[int](), 0

    @hub.on("a", group="g", run_in="loop")
    def handle(content: int) -> None:
        handled.append(turns)

    async with hub:
        await idle()
        for number in range(50):
            hub.topic("a").publish_nowait(number)
        while len(handled) < 50:
            turns += 1
            await asyncio.sleep(0)
    assert handled[-1] - handled[0] < 10
