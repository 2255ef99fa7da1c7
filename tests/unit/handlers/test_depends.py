"""The mark of an argument that a factory makes."""

import inspect
from typing import Annotated, Any

import pytest

import telex
from telex.handlers.depends import dependency_of


def factory() -> int:
    return 7


def test_a_mark_is_found_in_an_annotation_and_in_a_default() -> None:
    mark = telex.Depends(factory)

    def handler(order: int, other: int = mark, *, last: str = "text") -> None: ...  # type: ignore[assignment]

    order, other, last = inspect.signature(handler).parameters.values()
    assert dependency_of(order, Annotated[int, "a text", mark]) is mark
    assert dependency_of(order, int) is None
    assert dependency_of(other, int) is mark
    assert dependency_of(last, str) is None
    assert repr(mark) == "Depends('factory', scope='call')"


@pytest.mark.parametrize(
    ("given", "options", "problem"), [(7, {}, "factory"), (factory, {"scope": "request"}, "'call' or 'process'")]
)
def test_wrong_marks_are_refused(given: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(telex.BadOption, match=problem):
        telex.Depends(given, **options)
