"""The progress bar."""

import sys

import pytest

from telex.cli.bar import Bar

pytestmark = pytest.mark.slow


def test_the_bar_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Bar("report") as bar:
        bar.update(0.5, "half")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bar("report") as bar:
        bar.update(0.5, "[red]half\x1b[2J")
    told = capsys.readouterr()
    assert "report  [red]half [2J" in told.err
    assert "50%" in told.err
    assert told.out == ""
