"""The exit code of each error that ends the program."""

import inspect
import re
from pathlib import Path

import pytest

import telex
from telex import errors
from telex.cli.exits import EXIT_CODES, Exit, code_for

PAGE = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (telex.ConnectFailed("ws://host", "nobody listens"), Exit.NO_CONNECTION),
        (telex.Timeout("connecting", 5.0), Exit.TIMEOUT),
        (telex.BadName("a b", "it has a space"), Exit.USAGE),
        (telex.BadOption("--since", "soon", "write 10m"), Exit.USAGE),
        (telex.Misuse("publish", "the hub is closed"), Exit.USAGE),
        (telex.EngineFailed("publishing", "the disk is full"), Exit.ERROR),
        (telex.Closed("the hub", "open another"), Exit.ERROR),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_each_error_has_its_code(error: telex.TelexError, code: Exit) -> None:
    assert code_for(error) is code


def test_a_subclass_has_the_code_of_its_class() -> None:
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, telex.BadOption)]
    assert classes
    for found in classes:
        error = found.__new__(found)
        assert code_for(error) is Exit.USAGE


def test_the_help_and_the_page_name_every_code() -> None:
    in_help = {int(number) for number in re.findall(r"\b\d+\b", EXIT_CODES)}
    assert in_help == {int(code) for code in Exit}
    assert all(re.search(rf"\| {int(code)} \|", PAGE) for code in Exit)
