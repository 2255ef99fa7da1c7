"""A variable: its changes are messages, and it is no value to be calculated with."""

import operator
from collections.abc import Callable
from typing import Any

import pytest

import telex
from telex.testing.clock import VirtualClock


def test_a_variable_publishes_its_changes(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            assert hub.variable("signups", 0) is count
            async with hub.topic("signups").subscribe() as changes:
                assert await count.add(3) == 3
                assert await count.set(3) == 3  # no change
                assert await count.update(lambda value: value * 2) == 6
                assert (count.set_nowait(7), count.add_nowait(1), count.update_nowait(lambda value: -value)) == (
                    7,
                    8,
                    -8,
                )
                heard = [message.content for message in changes.receive_many_nowait()]
            assert [(change.before, change.value) for change in heard] == [(0, 3), (3, 6), (6, 7), (7, 8), (8, -8)]
            assert {change.variable for change in heard} == {"signups"}
            assert [count.value] == [-8]

    clock.run(main())


def test_a_variable_is_held_to_its_type(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            with pytest.raises(telex.ContentError, match="int"):
                await count.set("many")  # type: ignore[arg-type]  # the mistake
            assert [count.value] == [0]
            with pytest.raises(telex.BadOption, match="initial value 0"):
                hub.variable("signups", 1)
            for adds in (count.add, count.add_nowait):
                with pytest.raises(telex.BadOption, match="amount '1': adding it to 0 raises"):
                    await adds("1")  # type: ignore[arg-type,misc]  # the mistake
            for updates in (count.update, count.update_nowait):
                with pytest.raises(telex.BadOption, match="function of the value"):
                    await updates(1)  # type: ignore[arg-type,misc]  # the mistake
            free: telex.Variable[Any] = hub.variable("anything", None)
            assert await free.set({"a": 1}) == {"a": 1}

    clock.run(main())


def test_a_variable_is_not_its_value() -> None:
    hub = telex.Hub()
    count, other = hub.variable("count", 0), hub.variable("other", 0)
    with pytest.raises(telex.Misuse, match="read its value"):
        bool(count)
    for mistake in (
        lambda: count > 1 & other > 1,  # type: ignore[operator]  # on purpose
        lambda: count + 1,  # type: ignore[operator]  # on purpose
        lambda: 1 | count,  # type: ignore[operator]  # on purpose
    ):
        with pytest.raises(telex.Misuse, match="parentheses"):
            mistake()
    with pytest.raises(telex.BadHandler, match=r"not @hub\.every"):

        @hub.every  # type: ignore[arg-type]  # on purpose
        def tick() -> None: ...

    with pytest.raises(telex.BadOption, match="minute, hour, day, month"):
        hub.cron("60 * * * *")


def test_a_variable_is_not_assigned_to_nor_calculated_with() -> None:
    count: Any = telex.Hub().variable("count", 3)
    with pytest.raises(telex.Misuse, match=r"await v.set\(...\)"):
        count.value = 5
    with pytest.raises(telex.Misuse, match=r"await v.set\(...\)"):
        count.value += 5
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: operator.iadd(count, 1),  # type: ignore[no-untyped-call]
        lambda: count * 2,
        lambda: 2 / count,
        lambda: count**2,
        lambda: -count,
        lambda: float(count),
        lambda: count & 1,
    )
    for mistake in mistakes:
        with pytest.raises(telex.Misuse, match=r"to read it, v.value; to change it, await v.add\(1\)"):
            mistake()
    assert count.value == 3
