"""The program itself: help, version, and what it says when something is not installed."""

import builtins
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

import telex as package
from telex.cli import NEEDED, main
from tests.unit.cli.conftest import Telex


def test_help_has_examples_and_exit_codes(telex: Telex) -> None:
    commands = ["chat", "run", "pub", "sub", "topics", "send", "follow", "once"]
    for command in ((), *((name,) for name in commands), ("once", "show"), ("once", "forget")):
        ran = telex(*command, "--help")
        assert ran.code == 0
        assert "Examples:\n" in ran.out
        assert "telex " in ran.out
        assert "Exit codes:" in ran.out
        assert "\x1b" not in ran.out


def test_version(telex: Telex) -> None:
    assert telex("--version") == (0, f"telex {package.__version__}\n", "")


def test_no_arguments_show_the_help(telex: Telex) -> None:
    ran = telex()
    assert "Commands:" in ran.out + ran.err


@pytest.mark.slow
def test_help_loads_no_web_framework() -> None:
    script = "import sys\nfrom telex.cli.app import run\nrun(['--help'])\nprint('MODULES', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = {name.split(".")[0] for name in run.stdout.partition("MODULES")[2].split()}
    assert not modules & {"starlette", "uvicorn", "websockets", "rich", "watchfiles", "anyio"}


def without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on ``missing`` is not installed."""
    real = builtins.__import__

    def guarded(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if not level and name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, globals, locals, fromlist, level)

    names = [name for name in sys.modules if name.startswith(("telex.cli", "telex.chat", "telex.gateway.app"))]
    for name in names:
        package, _, last = name.rpartition(".")
        monkeypatch.setattr(sys.modules[package], last, sys.modules[name])  # set back, after an import made another
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", guarded)


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("typer", ["topics"]), ("websockets", ["topics"]), ("starlette", ["chat"]), ("uvicorn", ["chat"])],
)
def test_what_is_missing_is_named(
    missing: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(missing, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["telex", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert f"pip install 'telex[{NEEDED[missing]}]'" in told
    assert told.count("\n") == 1
