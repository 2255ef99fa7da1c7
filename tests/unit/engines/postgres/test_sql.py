"""The statements that read, and the decoding of rows."""

import pytest

from telex.engines.postgres.sql import regular_expression


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("orders:1", None), ("orders:*", "^orders:[^:]+$"), ("a.b:>", r"^a\.b:.+$"), ("größe+:*", r"^größe\+:[^:]+$")],
)
def test_patterns_as_regular_expressions(pattern: str, expected: str | None) -> None:
    assert regular_expression(pattern) == expected
