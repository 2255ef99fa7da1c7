"""The reference shows every public attribute of the classes that are on it.

A page shows an attribute that has a docstring of its own, or all of a class with ``show_if_no_docstring``. The
docstring of a class may describe its attributes in place of that, ``like this``.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
SHOWN = re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", PAGE, re.MULTILINE)
INTERNAL = {
    "Rate": {"source", "per"},
}
"""Attributes that the objects of a hub use among themselves."""


def found(name: str) -> Any:
    """What a name of the page stands for."""
    path, *rest = name.split(".")
    thing: Any = import_module(path)
    for part in rest:
        path = f"{path}.{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else import_module(path)
    return thing


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
