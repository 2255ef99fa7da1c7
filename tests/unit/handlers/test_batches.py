"""Declarations of handlers of batches, and their mistakes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

import telex
from telex.handlers.batches import MAX_BATCH, BatchSpec
from telex.handlers.spec import HandlerSpec, declare
from telex.middleware import Next
from tests.unit.handlers.test_spec import DEFAULTS

if TYPE_CHECKING:
    from decimal import Decimal as Unknown


def spec(function: Callable[..., object], **options: Any) -> HandlerSpec:
    return declare(function, ("a",), "", DEFAULTS | {"group": "g", "batch": 10} | options)


async def contents(rows: list[int]) -> None: ...


async def sequence(rows: Sequence[int]) -> None: ...


async def messages(rows: list[telex.Message[int]], hub: telex.Hub) -> None: ...


async def settles(context: telex.BatchContext[int]) -> None: ...


async def later(rows: "list[Unknown]") -> None: ...


async def later_messages(rows: "list[telex.Message[Unknown]]") -> None: ...


async def plain(rows) -> None: ...  # type: ignore[no-untyped-def]  # without an annotation


@pytest.mark.parametrize(
    ("function", "wants", "takes"),
    [
        (contents, ("contents",), int),
        (sequence, ("contents",), int),
        (messages, ("messages", "hub"), int),
        (settles, ("batch",), int),
        (later, ("contents",), None),
        (later_messages, ("messages",), None),
        (plain, ("contents",), None),
        ([].extend, ("contents",), None),
    ],
)
def test_annotations_tell_the_arguments_of_a_batch(
    function: Callable[..., object], wants: tuple[str, ...], takes: type[Any] | None
) -> None:
    found = spec(function)
    assert found.wants == wants
    assert (None if found.takes is None else found.takes.declared) is takes


def test_a_batch_has_a_size_and_a_time() -> None:
    assert spec(contents, batch=5, within="250ms").batch == BatchSpec(5, 0.25)
    assert spec(contents, batch=None).batch is None


async def single(row: int) -> None: ...


async def message(row: telex.Message[int]) -> None: ...


async def context(rows: list[int], context: telex.Context[int]) -> None: ...


async def transaction(rows: list[int], tx: telex.Transaction) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (single, r"annotate list\[int\]"),
        (message, r"annotate list\[telex\.Message\]"),
        (context, r"take a telex\.BatchContext"),
        (transaction, "leave out tx= or batch="),
    ],
)
def test_a_function_that_takes_no_list_is_refused(function: Callable[..., object], problem: str) -> None:
    with pytest.raises(telex.BadHandler, match=problem):
        spec(function)


@pytest.mark.parametrize("batch", [0, -1, True, 1.5, MAX_BATCH + 1])
def test_a_batch_of_no_number_is_refused(batch: object) -> None:
    with pytest.raises(telex.BadOption, match="it must be from 1 to 10000"):
        spec(contents, batch=batch)


def test_options_that_do_not_fit_a_batch_are_refused() -> None:
    with pytest.raises(telex.BadOption, match="only a handler with batch= takes this option"):
        spec(single, batch=None, within="2s")
    with pytest.raises(telex.BadOption, match="only a handler with group= takes this option"):
        spec(contents, group=None)
    with pytest.raises(telex.BadOption, match="leave out tx= or batch="):
        spec(contents, tx=True)


def test_the_context_of_a_batch_is_for_async_functions() -> None:
    def store(context: telex.BatchContext[int]) -> None: ...

    with pytest.raises(telex.BadHandler, match="make it `async def`"):
        spec(store, run_in="thread")


def test_an_untyped_function_is_a_middleware_of_batches_too() -> None:
    def around(next: Next) -> Next:
        return next

    assert spec(contents, middleware=[around]).is_async
