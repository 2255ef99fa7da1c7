"""Every exception survives pickle and copy, keeps its fields, and says something."""

import copy
import inspect
import pickle

import pytest

from telex import errors

CLASSES = [
    value
    for _, value in sorted(vars(errors).items())
    if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
]
SAMPLES: dict[str, object] = {
    "str": "text",
    "int": 3,
    "float": 1.5,
    "object": ["anything"],
    "bool": True,
    "str | None": "text",
    "float | None": None,
    "float | str | None": 2.5,
    "tuple[str, ...]": ("one", "two"),
}


def example(error: type[BaseException]) -> BaseException:
    """An instance with every field set, by the annotations of its constructor."""
    if error.__init__ is BaseException.__init__ or error is errors.TelexError:
        return error("text")
    parameters = list(inspect.signature(error.__init__).parameters.values())[1:]
    given = {parameter.name: SAMPLES[str(parameter.annotation)] for parameter in parameters}
    by_name = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    return error(
        *[value for name, value in given.items() if name not in by_name],
        **{name: value for name, value in given.items() if name in by_name},
    )


@pytest.mark.parametrize("error", CLASSES)
def test_survives_pickle_and_copy(error: type[BaseException]) -> None:
    made = example(error)
    made.add_note("seen in a test")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        same(pickle.loads(pickle.dumps(made, protocol)), made)
    same(copy.copy(made), made)
    same(copy.deepcopy(made), made)


def same(copied: BaseException, made: BaseException) -> None:
    assert type(copied) is type(made)
    assert str(copied) == str(made)
    assert copied.args == made.args
    assert vars(copied) == vars(made)


@pytest.mark.parametrize("error", CLASSES)
def test_it_has_one_root_a_docstring_and_its_fields_as_attributes_and_in_its_text(error: type[BaseException]) -> None:
    assert issubclass(error, errors.TelexError)
    assert inspect.getdoc(error)
    made = example(error)
    assert str(made).strip()
    assert "object at 0x" not in str(made)
    if "__init__" in vars(error):
        for name in list(inspect.signature(error.__init__).parameters)[1:]:
            assert hasattr(made, name)


@pytest.mark.parametrize(
    ("text", "written"), [("plain", "plain"), ("üben", "üben"), ("ü\ud800\U0001f600", "ü\\ud800\U0001f600"), ("", "")]
)
def test_text_is_written_as_it_can_be_stored(text: str, written: str) -> None:
    assert errors.printable(text) == written
    assert errors.text_of(text) == written
    assert errors.text_of(ValueError(text)) == written
