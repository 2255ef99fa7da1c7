"""Every file and function that the page on the architecture names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SOURCE = ROOT / "src" / "telex"
NAMED = sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`(?: `([\w.]+)`)?", PAGE)))
FOLDERS = sorted(set(re.findall(r"`((?:\w+/)+)`", PAGE)))


def defined(file: Path) -> set[str]:
    """The names that a file defines: functions, classes, and their methods as `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return found


@pytest.mark.parametrize(("name", "function"), NAMED)
def test_every_name_on_the_page_exists(name: str, function: str) -> None:
    file = SOURCE / name if (SOURCE / name).exists() else ROOT / name
    assert file.is_file()
    assert not function or function in defined(file)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_there(folder: str) -> None:
    assert (SOURCE / folder).is_dir() or (ROOT / folder).is_dir()


def test_the_page_names_many() -> None:
    assert len(NAMED) > 30
