"""Every file and function that the page on the architecture names is there."""

import ast
import re
from pathlib import Path

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


def test_every_name_on_the_page_exists() -> None:
    for name, function in NAMED:
        file = SOURCE / name if (SOURCE / name).exists() else ROOT / name
        assert file.is_file(), name
        assert not function or function in defined(file), f"{name} {function}"


def test_every_folder_is_there() -> None:
    assert [each for each in FOLDERS if not (SOURCE / each).is_dir() and not (ROOT / each).is_dir()] == []


def test_the_page_names_many() -> None:
    assert len(NAMED) > 30
