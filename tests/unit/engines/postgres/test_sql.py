"""The statements that read, and the decoding of rows."""

import re

import pytest

from telex.engines.contract.groups import Unreadable
from telex.engines.postgres.sql import LiveStatements, decode, escaped, regular_expression


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("orders:1", None), ("orders:*", "^orders:[^:]+$"), ("a.b:>", r"^a\.b:.+$"), ("größe+:*", r"^größe\+:[^:]+$")],
)
def test_patterns_as_regular_expressions(pattern: str, expected: str | None) -> None:
    assert regular_expression(pattern) == expected


@pytest.mark.parametrize("token", ["a.b", "(x)", "a|b", "$^", "[a]", "größe", "a_1", "{2}", "\\\\d"])
def test_an_escaped_token_matches_itself_alone(token: str) -> None:
    assert re.fullmatch(escaped(token), token)
    assert not re.fullmatch(escaped(token), "0")


def test_a_row_is_a_message_with_text_or_bytes() -> None:
    text = ("epoch", 7, None, 1000.0, "int", "k", '{"by":"ann"}', "5", None)
    data = ("epoch", 8, "given", 1001.0, "bytes", None, None, None, b"\0")
    one, two = decode([text, data], "t", 1, None)
    assert (one.content, one.topic, one.seq, one.type, one.key, one.headers) == (5, "t", 7, "int", "k", {"by": "ann"})
    assert (two.content, two.seq, two.id, two.key) == (b"\0", 8, "given", None)


def test_a_damaged_row_does_not_fail_the_others() -> None:
    rows = [("e", seq, None, 1000.0, "int", None, None, content, None) for seq, content in ((1, "1"), (2, "{"))]
    one, two = decode(rows, "t", 1, None)
    assert one.content == 1
    assert isinstance(two.content, Unreadable)


def test_the_statements_of_a_reader_name_its_schema() -> None:
    statements = vars(LiveStatements('"shop"')).values()
    assert [statement for statement in statements if b'"shop".' not in statement or b"{s}" in statement] == []
