"""The frames that wait for one client: their order, their bound, and what counts."""

import asyncio
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.gateway.outbox import Outbox
from tests.support.loops import idle

FRAMES = st.text(max_size=30) | st.text("é☎", max_size=30)


@given(st.lists(FRAMES | st.none(), max_size=40), st.integers(0, 2000))
async def test_an_outbox_is_a_bounded_queue(steps: list[str | None], limit: int) -> None:
    outbox, waiting = Outbox(limit), list[str]()
    for step in steps:
        if step is not None:
            fits = not waiting or sum(map(getsizeof, [*waiting, step])) <= limit
            assert outbox.put(step) is fits
            waiting += [step] if fits else []
        elif waiting:
            assert await outbox.take() == waiting[0]
            outbox.sent()
            waiting.pop(0)
        assert outbox.bytes == sum(map(getsizeof, waiting))


async def test_an_empty_outbox_takes_a_frame_of_any_size() -> None:
    outbox = Outbox(1)
    assert outbox.put("x" * 1000)
    assert not outbox.put("")
    assert await outbox.take() == "x" * 1000
    outbox.sent()
    assert outbox.put("y" * 2000)


async def test_a_taken_frame_counts_until_it_is_sent() -> None:
    outbox = Outbox(getsizeof("a" * 10))
    assert outbox.put("a" * 10)
    await outbox.take()
    assert await outbox.take() == "a" * 10, "a frame that was not sent is taken again"
    assert not outbox.put("b" * 10)
    outbox.sent()
    assert outbox.put("b" * 10)


async def test_taking_waits_for_a_frame() -> None:
    outbox = Outbox(1000)
    for number in range(3):
        taking = asyncio.create_task(outbox.take())
        await idle()
        assert not taking.done()
        outbox.put(f"{number}")
        assert await taking == f"{number}"
        outbox.sent()


async def test_drained_waits_until_the_last_frame_is_sent() -> None:
    outbox = Outbox(1000)
    await outbox.drained()
    outbox.put("a")
    outbox.put("b")
    drained = asyncio.create_task(outbox.drained())
    for _ in range(2):
        await idle()
        assert not drained.done()
        await outbox.take()
        outbox.sent()
    await drained


async def test_a_taker_that_is_cancelled_takes_nothing() -> None:
    outbox = Outbox(1000)
    taking = asyncio.create_task(outbox.take())
    await idle()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    outbox.put("a")
    assert await outbox.take() == "a"
