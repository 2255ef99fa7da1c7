"""The reference has every public name, and shows every public attribute of the classes that are on it.

A page shows an attribute that has a docstring of its own, or all of a class with ``show_if_no_docstring``. The
docstring of a class may describe its attributes in place of that, ``like this``.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scripts.reference import found, missing_in

PAGE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
SHOWN = re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", PAGE, re.MULTILINE)
INTERNAL = {
    "Rate": {"source", "per"},
}
"""Attributes that the objects of a hub use among themselves."""


GATHERED = (
    "telex",
    "telex.blocking",
    "telex.chat",
    "telex.codec",
    "telex.dashboard",
    "telex.engines",
    "telex.gateway",
    "telex.middleware",
    "telex.observe",
    "telex.once",
    "telex.testing.conformance",
)
"""The modules with public names, which are their ``__all__``."""
WITHOUT_ALL = (
    "telex.ext.asyncapi",
    "telex.ext.cloudevents",
    "telex.ext.django",
    "telex.ext.fastapi",
    "telex.ext.litestar",
    "telex.ext.sse",
    "telex.testing.clock",
    "telex.testing.recorder",
)
"""The modules whose own functions and classes are public."""
NOT_SHOWN = {"telex.__version__", "telex.codec.STANDARD", "telex.codec.hold"}


def public_names() -> Iterator[str]:
    for module in GATHERED:
        yield from (f"{module}.{name}" for name in import_module(module).__all__)
    for module in WITHOUT_ALL:
        for name, value in vars(import_module(module)).items():
            if not name.startswith("_") and getattr(value, "__module__", None) == module and callable(value):
                yield f"{module}.{name}"


def test_every_public_name_is_on_the_page() -> None:
    names = {name for name, _ in SHOWN}
    shown = {id(found(name)) for name in names}
    missing = [name for name in public_names() if name not in names and id(found(name)) not in shown]
    assert set(missing) - NOT_SHOWN == set()


def test_every_name_of_the_page_is_a_block_of_its_own() -> None:
    lines = PAGE.splitlines()
    assert [line for before, line in pairwise(lines) if line.startswith(":::") and before] == []
    assert len(SHOWN) == len({name for name, _ in SHOWN})


def test_the_built_page_is_checked_for_names_and_docstrings() -> None:
    built = '<h3 id="telex.Retry">Retry</h3><p>The attempts for <code>each</code> message, and\nthe waits</p>'
    assert missing_in(built, ["telex.Retry", "telex.Nack"]) == ["telex.Nack has no entry"]
    assert missing_in('<h3 id="telex.Nack">', ["telex.Nack"]) == ["telex.Nack is without its docstring"]


def attributes(cls: type[Any]) -> Iterator[tuple[str, bool]]:
    """The public attributes of a class, and whether each has a docstring."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    inits = [part.body for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    for body in (node.body, *inits):
        for statement, after in zip(body, [*body[1:], None], strict=True):
            name = assigned(statement)
            if name is not None and not name.startswith("_"):
                yield name, isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)


def assigned(statement: ast.stmt) -> str | None:
    """The attribute that a statement of a class or its ``__init__`` makes."""
    target = statement.target if isinstance(statement, ast.AnnAssign) else None
    if isinstance(statement, ast.Assign):
        target = statement.targets[0] if isinstance(statement.targets[0], ast.Attribute) else None
    if isinstance(target, ast.Attribute):
        return target.attr if isinstance(target.value, ast.Name) and target.value.id == "self" else None
    return target.id if isinstance(target, ast.Name) else None


# The page is read in the test: in the collection each worker would import all that telex can be used with.
@pytest.mark.slow
def test_each_attribute_is_documented() -> None:
    classes = [(cls, options) for name, options in SHOWN if inspect.isclass(cls := found(name))]
    assert len(classes) > 80
    missing = [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls, options in classes
        if not issubclass(cls, Exception) and "show_if_no_docstring" not in options
        for name in undocumented(cls)
    ]
    assert not missing


def undocumented(cls: type[Any]) -> Iterator[str]:
    """Iterate over the public attributes of a class that neither have a docstring nor are in that of the class."""
    about = inspect.getdoc(cls) or ""
    for name, has in attributes(cls):
        if not has and f"``{name}``" not in about and name not in INTERNAL.get(cls.__name__, ()):
            yield name


@pytest.mark.parametrize("name", ["Retry", "gateway.Peer"])
def test_attributes_are_found(name: str) -> None:
    assert len(list(attributes(found(f"telex.{name}")))) >= 5
