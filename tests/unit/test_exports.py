"""The package root is the one place where a public name is found."""

import importlib
import inspect
import pkgutil

import telex


def test_all_is_what_is_public() -> None:
    public = {
        name
        for name, value in vars(telex).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public | {"__version__"} == set(telex.__all__) | {"__version__"}


def test_all_is_sorted_and_without_repeats() -> None:
    assert len(set(telex.__all__)) == len(telex.__all__)


def test_every_name_is_there_and_has_a_docstring() -> None:
    for name in telex.__all__:
        value = getattr(telex, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"telex.{name} has no docstring"
        for method, member in vars(value).items() if inspect.isclass(value) else ():
            if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(getattr(value, method)), f"telex.{name}.{method} has no docstring"


def test_public_classes_say_telex_in_their_repr_and_pickles() -> None:
    # A name has one home: tracebacks and pickles must not depend on which file of the package it is made in.
    for name in telex.__all__:
        value = getattr(telex, name)
        if inspect.isclass(value):
            assert value.__module__.split(".")[0] == "telex", f"telex.{name} comes from {value.__module__}"


def test_every_exception_is_public() -> None:
    from telex import errors

    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith("telex"):
            assert getattr(telex, name, None) is value, f"telex.{name} is missing from the package root"


def test_submodules_are_importable() -> None:
    for module in pkgutil.iter_modules(telex.__path__, "telex."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)


def test_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert telex.__version__ == version("telex")
