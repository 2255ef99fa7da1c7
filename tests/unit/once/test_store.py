"""The stores of a hub's commands: opened once each, and closed if they were opened."""

import asyncio

import pytest

from telex.errors import EngineFailed
from telex.once.store import OnceStores
from tests.support.loops import idle
from tests.unit.commands.parts import Store


class Noted(Store):
    def __init__(self, *, fails: bool = False, waits: bool = False) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._fails_to_open = fails
        self._waits = waits

    async def open(self) -> None:
        self.calls.append("open")
        if self._waits:
            await asyncio.Event().wait()
        if self._fails_to_open:
            raise EngineFailed("opening", "nobody answers")

    async def close(self) -> None:
        self.calls.append("close")


async def test_a_store_of_several_commands_is_opened_and_closed_once() -> None:
    stores, store, other = OnceStores(), Noted(), Noted()
    assert stores.open(store) is stores.open(store)
    stores.open(other)
    await stores.opened()
    await stores.close()
    await stores.close()
    assert store.calls == other.calls == ["open", "close"]


async def test_equal_stores_are_two() -> None:
    class Equal(Noted):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    stores, one, other = OnceStores(), Equal(), Equal()
    stores.open(one)
    stores.open(other)
    await stores.opened()
    assert (one.calls, other.calls) == (["open"], ["open"])
    await stores.close()


async def test_a_store_that_cannot_be_opened_fails_the_wait_and_is_not_closed() -> None:
    stores, store, other = OnceStores(), Noted(fails=True), Noted()
    stores.open(other)
    opening = stores.open(store)
    with pytest.raises(EngineFailed, match="nobody answers"):
        await stores.opened()
    with pytest.raises(EngineFailed):
        await opening
    await stores.close()
    assert (store.calls, other.calls) == (["open"], ["open", "close"])


async def test_closing_cancels_an_opening_that_hangs() -> None:
    stores, store = OnceStores(), Noted(waits=True)
    opening = stores.open(store)
    await idle()
    await asyncio.wait_for(stores.close(), 20)
    assert opening.cancelled()
    assert store.calls == ["open"]


async def test_a_store_may_be_opened_again_after_closing() -> None:
    stores, store = OnceStores(), Noted()
    stores.open(store)
    await stores.opened()
    await stores.close()
    stores.open(store)
    await stores.opened()
    await stores.close()
    assert store.calls == ["open", "close", "open", "close"]
