"""The program itself: help, version, refusals, and the name of a missing package."""

import builtins
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

import telex as package
from telex.cli import NEEDED, main
from telex.cli.app import COMMANDS, program
from tests.support.server import ENVIRONMENT, ChatServer
from tests.unit.cli.conftest import Telex

REFUSED = [
    (("pub", "a b", "x"), 2, "whitespace"),
    (("pub", "a:*", "x"), 2, "for patterns"),
    (("pub", "a", "x", "--header", "no"), 2, "name=value"),
    (("pub", "a", "-", "--id", "1"), 2, "one id names one message"),
    (("pub", "presence:x", "1"), 1, "only the server publishes"),
    (("pub", "chatroom:x", "{}"), 1, "has a name"),
    (("pub", "telex:x", "1"), 1, "do not let you publish"),
    (("sub", "telex:x"), 1, "do not let you subscribe"),
    (("sub", "a", "--since", "soon"), 2, "10m"),
    (("sub", "a::b"), 2, "must not be empty"),
    (("sub", "a", "--count", "0"), 2, "--count"),
    (("topics", ">:a"), 2, "last token"),
    (("topics", "--server", "ftp://x"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--server", "ws://127.0.0.1:99999/ws"), 2, "Port out of range"),
    (("topics", "--server", "ws://127.0.0.1:0/ws"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--server", "ws://[::1/ws"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--connect-timeout", "0"), 2, "more than 0"),
    (("sub", "a", "--timeout", "soon"), 2, "'5m'"),
    (("sub", "a", "--timeout", "nan"), 2, "finite"),
    (("pub", "a", "\udcff"), 2, "UTF-8"),
    (("pub", "a", "b", "--header", "x=\udcff"), 2, "UTF-8"),
    (("shout",), 2, "No such command"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("server_of_this_run")
@pytest.mark.parametrize(
    ("command", "code", "said"), REFUSED, ids=[ascii(" ".join(command)) for command, _, _ in REFUSED]
)
def test_refusals_name_the_fix(telex: Telex, command: tuple[str, ...], code: int, said: str) -> None:
    ran = telex(*command)
    assert ran.code == code
    assert said in ran.err
    assert ran.out == ""


@pytest.mark.slow
@pytest.mark.usefixtures("server_of_this_run")
def test_a_reader_of_the_output_may_stop(server: ChatServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "telex", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as helped:
        assert helped.stdout is not None
        assert helped.stderr is not None
        helped.stdout.close()
        assert helped.wait(20) == 1
        assert helped.stderr.read() == b""


def test_help_has_examples_and_exit_codes(telex: Telex) -> None:
    commands = ["chat", "run", "pub", "sub", "topics", "send", "follow", "once"]
    for command in ((), *((name,) for name in commands), ("once", "show"), ("once", "forget")):
        ran = telex(*command, "--help")
        assert ran.code == 0
        assert "Examples:\n" in ran.out
        assert "telex " in ran.out
        assert "Exit codes:" in ran.out
        assert "\x1b" not in ran.out


def test_only_the_command_of_the_arguments_is_made() -> None:
    assert [each.name for each in program("import").registered_commands] == ["import"]
    assert [each.name for each in program("jobs").registered_groups] == ["jobs"]
    for every in (program(), program("shout"), program("--help")):
        names = [each.name for each in every.registered_commands] + [each.name for each in every.registered_groups]
        assert sorted(map(str, names)) == sorted(COMMANDS)


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
def test_a_missing_package_is_named(
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
