"""Every example on a page is a file that runs here, and the page shows exactly that file.

A block of a page that begins with ```` ```python title="docs/examples/NAME.py" ```` is that file, and one titled
`docs/examples/NAME.out` is what it prints. `python scripts/examples.py` writes both kinds into the pages.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import telex
from scripts.examples import EXAMPLES, ROOT, blocks, filled, pages
from tests.docs.conftest import Printed

PYTHON = sorted(EXAMPLES.glob("*.py"))
TESTS = [file for file in PYTHON if file.name.startswith("test_")]
ORDERS = [file for file in TESTS if file.name.startswith("test_orders_")]
"""Tests of examples that need a database: they run on each."""
FILES = [file for file in PYTHON if file not in TESTS and file.with_suffix(".out").exists()]
MODULES = [file for file in PYTHON if file not in TESTS + FILES]
"""Examples that print nothing, and are imported by the examples that are tests."""
CONFIGURE = [file for file in FILES if "logging.basicConfig(" in file.read_text()]
"""Examples that configure the process."""
OUTPUTS = sorted(EXAMPLES.glob("*.out"))


@pytest.mark.parametrize("file", [file for file in FILES if file not in CONFIGURE], ids=lambda file: file.stem)
def test_example_runs_and_prints_what_the_page_says(
    file: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    assert printed(file) == file.with_suffix(".out").read_text()


def test_pages_show_the_files() -> None:
    other = [page.name for page in pages() if filled(text := page.read_text()) != text]
    assert not other, "these pages are not what the files are: run python scripts/examples.py"


def test_python_on_a_page_is_always_a_file() -> None:
    untitled = [page.name for page in pages() if re.search(r"^```python(?! title=)", page.read_text(), re.MULTILINE)]
    assert not untitled, "these pages show Python that no test runs"


def test_every_file_is_on_a_page() -> None:
    shown = {name for page in pages() for name in blocks(page.read_text())}
    assert {str(file.relative_to(ROOT)) for file in EXAMPLES.rglob("*.py")} <= shown


@pytest.mark.slow
@pytest.mark.parametrize("file", CONFIGURE, ids=lambda file: file.stem)
def test_example_runs_alone(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == file.with_suffix(".out").read_text()


def test_every_module_is_imported_by_a_test() -> None:
    imported = {name for file in TESTS for name in re.findall(r"^from (\w+) import", file.read_text(), re.MULTILINE)}
    assert {file.stem for file in MODULES} <= imported


@pytest.mark.slow
def test_examples_of_tests_pass(tmp_path: Path) -> None:
    run_tests([file for file in TESTS if file not in ORDERS], tmp_path, {})


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("file", ORDERS, ids=lambda file: file.stem)
def test_an_order_and_its_event_commit_together(
    file: Path, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database == "sqlite":
        path = tmp_path / "shop.db"
        django = {"DATABASE_ENGINE": "django.db.backends.sqlite3", "DATABASE_NAME": str(path)}
        urls = {"TELEX_URL": f"sqlite:///{path}", "DATABASE_URL": f"sqlite+aiosqlite:///{path}"}
    else:
        server = conninfo_to_dict(request.getfixturevalue("postgres"))
        name = file.stem
        with psycopg.connect(**server, autocommit=True) as connection:  # type: ignore[arg-type]  # all are text
            connection.execute(f"CREATE DATABASE {name}".encode())
        django = {"DATABASE_ENGINE": "django.db.backends.postgresql", "DATABASE_NAME": name}
        urls = {"TELEX_URL": f"postgresql:///{name}", "DATABASE_URL": f"postgresql+psycopg:///{name}"}
        urls |= {"PGHOST": str(server["host"]), "PGUSER": str(server["user"])}
    run_tests([file], tmp_path, django | urls)


def run_tests(files: Sequence[Path], folder: Path, environment: dict[str, str]) -> None:
    """Run examples of tests as their readers do: without the settings of this project."""
    options = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder)]
    options += ["-p", "telex.testing.plugin", "-p", "anyio.pytest_plugin"]  # without others that happen to be installed
    warnings = ["-W", "error", "-W", "ignore:Using `httpx` with"]  # by Starlette's TestClient, of its own import
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *warnings, *files],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout


def test_the_readme_s_program_has_ten_lines() -> None:
    lines = (EXAMPLES / "first.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 11


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    shown = re.findall(r"^::: telex\.(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(set(telex.__all__) - {"__version__"})
