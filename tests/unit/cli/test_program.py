"""Programs that are loaded, listed and logged."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import telex as library
from telex.cli.program import configure_logging, list_declared
from tests.unit.cli.conftest import Telex

UNUSABLE = {
    "no colon": ("shop", "write module:hub"),
    "a file": ("shop.py:hub", "shop:hub"),
    "a path": ("./shop.py:hub", "shop:hub"),
    "no module": ("stall:hub", "no module 'stall'"),
    "no such name": ("shop:app", "it has hub"),
    "no hub at all": ("empty:hub", "telex.Hub()"),
    "fails": ("broken:hub", "ZeroDivisionError"),
    "needs what is not there": ("needy:hub", "no module 'surely_not_installed'"),
}


@pytest.mark.parametrize(("program", "said"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_programs_that_are_none(telex: Telex, folder: Path, program: str, said: str) -> None:
    (folder / "empty.py").write_text("")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "needy.py").write_text("import surely_not_installed\n")
    ran = telex("run", program)
    for name in ("shop", "empty", "broken", "needy"):
        sys.modules.pop(name, None)
    assert ran.code == 2
    assert said in ran.err
    assert "importlib" not in ran.err


def declared(url: str = "memory://") -> library.Hub:
    hub = library.Hub(url)

    @hub.on("orders:*", run_in="loop")
    def show(content: object) -> None: ...

    @hub.command("charge", once=True, run_in="loop")
    def charge(content: object) -> None: ...

    @hub.every("10s", run_in="loop")
    def look() -> None: ...

    return hub


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_program_is_listed_by_its_declarations(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "memory://" if engine == "memory" else f"sqlite:///{tmp_path}/x.db"
    async with declared(url) as hub:
        list_declared("shop:hub", hub)
    out = capsys.readouterr().out
    assert out.startswith(f"running shop:hub on {url} with 1 handler, 1 command, 1 trigger  (Ctrl-C")
    for part in ("orders:*", "command charge, once per key", "trigger look: every 10 s"):
        assert part in out
    async with library.Hub() as hub:
        list_declared("shop:hub", hub)
    assert "import the modules" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_handlers_of_outcomes_are_listed_and_workers_are_not(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = declared("memory://" if engine == "memory" else f"sqlite:///{tmp_path}/x.db")

    @hub.on("$command:*:outcome", group="alarms")
    async def alarm(outcome: library.Outcome[object]) -> None: ...

    async with hub:
        list_declared("shop:hub", hub)
    out = capsys.readouterr().out
    assert "with 2 handlers, 1 command, 1 trigger" in out
    assert "alarm: $command:*:outcome, group alarms" in out


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], logging.Logger]]:
    """Called in a test, the root logger without the handlers of the test run; as it was after the test."""
    root = logging.getLogger()
    level = root.level

    def without() -> logging.Logger:
        monkeypatch.setattr(root, "handlers", [])
        return root

    yield without
    root.setLevel(level)  # which other loggers have to hear of


def test_logging_is_configured_unless_the_program_has(unconfigured: Callable[[], logging.Logger]) -> None:
    root, telex = unconfigured(), logging.getLogger("telex")
    configure_logging("WARNING")
    assert len(root.handlers) == 1
    assert not telex.isEnabledFor(logging.INFO)
    configure_logging(None)
    assert not telex.isEnabledFor(logging.INFO)
    configure_logging("DEBUG")
    assert len(root.handlers) == 1
    assert telex.isEnabledFor(logging.DEBUG)


def test_an_unknown_level_is_refused(telex: Telex, folder: Path) -> None:
    ran = telex("run", "shop:hub", "--log-level", "loud")
    assert ran.code == 2
    assert "warning" in ran.err


@pytest.mark.parametrize("url", ["postgresql://shop:pass@word@db/shop", "postgresql://db/shop?password=pass@word"])
def test_the_password_of_an_engine_is_not_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    list_declared("shop:hub", library.Hub(url))
    out = capsys.readouterr().out
    assert "on postgresql://db/shop with" in out
    assert "word" not in out
