"""The lifespan of a hub is checked where it is given."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import telex
from telex.process.lifespan import lifespan_of


async def test_an_async_generator_becomes_a_context_manager() -> None:
    steps = []

    async def lifespan(hub: str) -> AsyncIterator[None]:
        steps.append(f"begins with {hub}")
        yield
        steps.append("ends")

    async with lifespan_of(lifespan)("the hub"):
        assert steps == ["begins with the hub"]
    assert steps == ["begins with the hub", "ends"]


async def _coroutine(hub: Any) -> None: ...


def _generator(hub: Any) -> Iterator[None]:
    yield


@pytest.mark.parametrize("given", [1, _coroutine, _generator], ids=["number", "coroutine", "generator"])
def test_another_kind_of_function_is_refused(given: Any) -> None:
    with pytest.raises(telex.BadOption, match="yields once while the hub is open"):
        lifespan_of(given)
