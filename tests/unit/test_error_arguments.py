"""Errors are made with their arguments in the right order: the texts alone would not tell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import telex

SOURCE = Path(telex.__file__).parent
NAMES = {"name", "option", "what", "kind"}
"""What a variable is called that holds the name of an option or of what was done."""


def is_text(node: ast.expr, *, plain: bool = False) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.JoinedStr) and not plain


def names_an_option(arguments: list[ast.expr]) -> bool:
    first = arguments[0]
    named = is_text(first, plain=True) or (isinstance(first, ast.Name) and first.id in NAMES)
    return named and len(arguments) == 3 and not (is_text(first) and ";" in ast.unparse(first))


def says_what_was_done(arguments: list[ast.expr]) -> bool:
    first = arguments[0]
    return is_text(first) or (isinstance(first, ast.Name) and first.id in NAMES)


def says_what_was_tried(arguments: list[ast.expr]) -> bool:
    return is_text(arguments[0]) and len(arguments) == 2 and "; " not in ast.unparse(arguments[0])


def says_what_is_closed(arguments: list[ast.expr]) -> bool:
    return is_text(arguments[0]) or is_text(arguments[1], plain=True)


def names_a_topic(arguments: list[ast.expr]) -> bool:
    return isinstance(arguments[0], ast.Attribute | ast.Name) and not is_text(arguments[0])


def has_a_code(arguments: list[ast.expr]) -> bool:
    first = arguments[0]
    return isinstance(first, ast.Attribute | ast.Subscript) or (
        isinstance(first, ast.Constant) and " " not in str(first.value)
    )


def has_seconds(arguments: list[ast.expr]) -> bool:
    return says_what_was_done(arguments) and not is_text(arguments[1])


def has_a_status(arguments: list[ast.expr]) -> bool:
    return not is_text(arguments[0]) and isinstance(arguments[1], ast.Constant) and " " not in str(arguments[1].value)


def names_a_handler(arguments: list[ast.expr]) -> bool:
    return not is_text(arguments[0]) and isinstance(
        arguments[1], ast.Constant | ast.JoinedStr | ast.Name | ast.Attribute | ast.BinOp
    )


RULES = {
    "BadHandler": names_a_handler,
    "BadOption": names_an_option,
    "Closed": says_what_is_closed,
    "Misuse": says_what_was_tried,
    "EngineFailed": says_what_was_done,
    "ContentError": names_a_topic,
    "BadName": names_a_topic,
    "Refused": has_a_code,
    "Timeout": has_seconds,
    "Problem": has_a_status,
}


@pytest.mark.slow
def test_a_log_call_begins_with_its_text() -> None:
    levels = ("debug", "info", "warning", "error", "exception", "critical")
    found = 0
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if not isinstance(called, ast.Attribute) or ast.unparse(called.value) not in ("logger", "log"):
                continue
            assert isinstance(node, ast.Call)
            later = [ast.unparse(argument) for argument in node.args[1:] if is_text(argument)]
            found += called.attr in levels
            assert not any("%" in text for text in later), f"{path.relative_to(SOURCE)}:{node.lineno}"
    assert found > 30


def made() -> Iterator[tuple[str, str, list[ast.expr]]]:
    """Where an error is made, its class, and its arguments."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            if name in RULES and not any(isinstance(argument, ast.Starred) for argument in node.args):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", name, node.args


@pytest.mark.slow
def test_arguments_are_in_their_order() -> None:
    found = list(made())
    assert len(found) > 200
    assert [f"{where} {name}" for where, name, arguments in found if not RULES[name](arguments)] == []
