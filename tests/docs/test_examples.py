"""Every example on a page is a file that runs here, and the page shows exactly that file.

A block of a page that begins with ```` ```python title="docs/examples/NAME.py" ```` is that file, and one titled
`docs/examples/NAME.out` is what it prints. `python scripts/examples.py` writes both kinds into the pages.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import telex
from scripts.examples import EXAMPLES, ROOT, blocks, filled, pages

FILES = sorted(EXAMPLES.glob("*.py"))
OUTPUTS = sorted(EXAMPLES.glob("*.out"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_runs_and_prints_what_the_page_says(file: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    # Debug mode tells what took a tenth of a second: on a busy machine anything may.
    told = [line for line in run.stderr.splitlines() if not (line.startswith("Executing <") and " took " in line)]
    assert told == []
    assert run.stdout == file.with_suffix(".out").read_text()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_page_shows_the_files(page: Path) -> None:
    text = page.read_text()
    assert filled(text) == text, "the page is not what the files are: run python scripts/examples.py"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_python_on_a_page_is_always_a_file(page: Path) -> None:
    untitled = re.findall(r"^```python(?! title=).*$", page.read_text(), re.MULTILINE)
    assert not untitled, f"{page.name} shows Python that no test runs"


def test_every_file_is_on_a_page() -> None:
    shown = {name for page in pages() for name in blocks(page.read_text())}
    assert {str(file.relative_to(ROOT)) for file in FILES} <= shown


def test_the_readme_s_program_has_ten_lines() -> None:
    lines = (EXAMPLES / "first.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 11


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    shown = re.findall(r"^::: telex\.(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(set(telex.__all__) - {"__version__"})
