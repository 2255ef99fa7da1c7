"""The guides from other libraries: `docs/from-NAME.md` with the programs of `docs/examples/guides/NAME`.

A pair is one program for the other library, `NAME_before.py`, and the same for telex, `NAME_after.py`, which ends with
its output in comments.
"""

import logging
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.examples import EXAMPLES, ROOT, blocks

GUIDES = EXAMPLES / "guides"
PAIRS = 15
PEERS = {
    "apscheduler": ("apscheduler", "sqlalchemy"),
    "celery": ("celery",),
    "faststream": ("faststream", "nats"),
    "socketio": ("socketio",),
}
"""The folder of each guide, and the packages that its programs for the other library need."""
PRINTS = re.compile(r"^# -> (.*)$", re.MULTILINE)


def pairs(guide: str) -> list[str]:
    return sorted(file.name.removesuffix("_after.py") for file in (GUIDES / guide).glob("*_after.py"))


@pytest.fixture
def without_logs() -> Iterator[None]:
    """Programs whose handlers raise log the error."""
    before = logging.root.manager.disable
    logging.disable()
    yield
    logging.disable(before)


@pytest.mark.parametrize("guide", PEERS)
def test_a_guide_has_pairs_and_shows_the_two_sides_one_after_the_other(guide: str) -> None:
    page = ROOT / "docs" / f"from-{guide}.md"
    shown = [Path(name) for name in blocks(page.read_text()) if "/guides/" in name]
    assert len(pairs(guide)) == PAIRS
    assert sorted(shown) == sorted(file.relative_to(ROOT) for file in (GUIDES / guide).glob("*.py"))
    programs = [name for name in shown if name.stem.endswith(("_before", "_after"))]  # the others are modules of them
    for before, after in zip(programs[::2], programs[1::2], strict=True):
        assert (before.name, after.name) == (after.name.replace("_after", "_before"), after.name)
    assert "## What telex does not have" in page.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("without_logs")
@pytest.mark.parametrize("guide", PEERS)
def test_every_program_for_telex_prints_its_output(
    guide: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(GUIDES / guide), *sys.path])
    programs = {file: PRINTS.findall(file.read_text()) for file in sorted((GUIDES / guide).glob("*.py"))}
    assert all(programs[GUIDES / guide / f"{name}_after.py"] for name in pairs(guide)), "a program prints nothing"
    for file, expected in programs.items():
        if expected:
            runpy.run_path(str(file), run_name="__main__")
            out, err = capsys.readouterr()
            assert (file.name, out.splitlines(), err) == (file.name, expected, "")


@pytest.mark.parametrize("guide", PEERS)
def test_every_program_for_the_other_library_compiles(guide: str) -> None:
    for name in pairs(guide):
        file = GUIDES / guide / f"{name}_before.py"
        compile(file.read_text(), file, "exec")


@pytest.mark.slow
def test_the_programs_for_installed_libraries_run() -> None:
    """They run in one process of their own: libraries have global state, threads and warnings."""
    installed = [guide for guide, packages in PEERS.items() if all(map(find_spec, packages))]
    command = [sys.executable, "-m", "tests.docs.peers", *installed]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [f"{guide}:{name}" for guide in installed for name in pairs(guide)]


PROJECT = ROOT / "examples" / "celery_project"
TASKS = 15


def test_the_celery_project_compiles_and_has_fifteen_tasks() -> None:
    sources = {file: file.read_text() for file in (PROJECT / "before" / "store").glob("*.py")}
    for file, source in sources.items():
        compile(source, file, "exec")
    assert sum(source.count("\n@app.task") for source in sources.values()) == TASKS


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_the_moved_celery_project_does_the_same_work(engine: str, tmp_path: Path) -> None:
    url = "memory://" if engine == "memory" else f"sqlite:///{tmp_path}/store.db"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "store.demo"],
        capture_output=True,
        text=True,
        cwd=PROJECT / "after",
        env=os.environ | {"TELEX_URL": url},
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    declined = "charge_card: the limit is 1000.00"
    rejected = "dead:orders: the command 'charge_card' failed: CommandError: the limit is 1000.00"
    assert run.stdout.splitlines() == [
        "report of month 10: 4 pages",
        "('done', 'report of month 10: 4 pages')",
        "245",
        "mails: 3 shipped: [1] paid: {1: 700} left: {'cup': 1, 'plate': 1, 'spoon': 1}",
        f"alarms: {[declined, rejected]}",
    ]
