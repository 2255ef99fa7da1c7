"""Examples that run in this process, which costs a fraction of a process of their own."""

import logging
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.postgres import url_of

Printed = Callable[..., str]


@pytest.fixture
def logging_stays_as_it_was() -> Iterator[None]:
    """An example that runs in this process may turn logging off."""
    before = logging.root.manager.disable
    yield
    logging.disable(before)


@pytest.fixture
def printed(
    logging_stays_as_it_was: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Printed:
    """A function that runs a file with arguments, and returns its output. It fails when the file warns or logs one."""

    def run(file: Path, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(file), *arguments])
        monkeypatch.setattr(sys, "path", [str(file.parent), *sys.path])
        runpy.run_path(str(file), run_name="__main__")
        out, err = capsys.readouterr()
        assert err == ""
        # Debug mode logs what took a tenth of a second: on a busy machine anything may.
        logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [text for text in logged if not text.startswith("Executing <")] == []
        return out

    return run


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an engine: each in turn."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/example.db"
    schema = "".join(letter if letter.isalnum() else "_" for letter in tmp_path.name.lower())
    return url_of(request.getfixturevalue("postgres"), f"example_{schema}")
