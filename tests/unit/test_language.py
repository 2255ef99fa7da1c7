"""Docstrings begin with a verb or a noun, and the words are the field's."""

import pytest

from scripts.language import clauses, household, module_clauses, no_actions, statements


@pytest.mark.parametrize(
    "source",
    [
        '"""What a module is for."""',
        'class A:\n    """Whoever waits."""',
        'def f():\n    """Whether it is full."""',
        'X = 3\n"""How many fit."""',
        'class A:\n    x: int\n    """Where it is kept."""',
        '"""What does a message cost?"""',
    ],
)
def test_a_docstring_that_begins_with_a_clause_is_found(source: str) -> None:
    assert len(clauses(source)) == 1


def test_a_module_of_tests_that_begins_with_a_clause_is_found() -> None:
    assert module_clauses('"""What a file keeps."""\n') == ["1 What a file keeps."]
    assert module_clauses('"""The messages of a file."""\ndef f():\n    """Whether it is full."""') == []


def test_a_docstring_that_begins_with_a_verb_or_a_noun_is_not_found() -> None:
    assert clauses('"""Whole numbers."""\ndef f():\n    """Return the name."""\n    return "What"') == []


@pytest.mark.parametrize("text", ["The number of messages.", "It waits.", "`put` stores.", "Called at the end."])
def test_a_function_whose_docstring_names_no_action_is_found(text: str) -> None:
    assert no_actions(f'def f():\n    """{text}"""') == [f"1 {text}"]


def test_an_action_and_the_noun_of_a_property_are_not_found() -> None:
    source = 'def f():\n    """Return it."""\n\n@property\ndef g(self):\n    """The name."""'
    assert no_actions(source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise BadOption("n", n, "it is at least 1")', 1),
        ('raise BadOption("n", n, f"it is at least {least}")', 1),
        ('raise BadName(name, "there is an empty token")', 1),
        ('raise BadOption("n", n, "it must be at least 1")', 0),
        ('raise Misuse("it is used", "write this")', 0),
    ],
)
def test_an_error_that_does_not_say_what_must_be_is_found(source: str, found: int) -> None:
    assert len(statements(source)) == found


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("x = 1  # the mend", "1 mend"),
        ('raise ValueError("no sign of life")', "1 sign of life"),
        ('"""First.\n\nA topic that is made anew.\n"""', "3 anew"),
        ('f"told {x}"', "1 told"),
    ],
)
def test_a_household_word_is_found(source: str, place: str) -> None:
    assert household(source) == [place]


def test_a_name_is_not_a_word_of_a_text() -> None:
    assert household("told = mend = 3  # amend, open, bold") == []
