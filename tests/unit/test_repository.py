"""Contents that the repository may not have: machine paths, registry hosts, pointers to files that are gone."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.mutants.hand import BUGS, locate

ROOT = Path(__file__).parents[2]
TEXT = {
    ".cfg",
    ".css",
    ".go",
    ".html",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
    "",
}
# Written in pieces, as this file is searched too.
MACHINE_PATHS = [
    re.compile(pattern) for pattern in ("/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/ro" + "ot/", "C:" + r"\\")
]
HOSTS = [
    re.compile(pattern)
    for pattern in (
        r"py" + r"pi\.(org|python)",
        r"pythonho" + r"sted\.org",
        r"registry\.np" + r"mjs",
        r"deb\.deb" + r"ian\.org",
        r"index-" + r"url",
        r"find-" + r"links",
    )
]
PATH = re.compile(r"(?<![\w./:<-])((?:src|tests|docs|bench|scripts|changes|\.ci)/[\w./-]*\w)")
RELATIVE_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def tracked() -> list[Path]:
    run = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        names = run.stdout.splitlines()
        return sorted(path for name in names if (path := ROOT / name).is_file())
    skip = {".venv", "build", "dist", "site"}
    return sorted(path for path in ROOT.rglob("*") if path.is_file() and not skip & set(path.relative_to(ROOT).parts))


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return [path for path in tracked() if path.suffix in TEXT and path.name != "LICENSE"]


@pytest.fixture(scope="module")
def lines(files: list[Path]) -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
    ]


@pytest.mark.parametrize("pattern", MACHINE_PATHS + HOSTS, ids=lambda pattern: pattern.pattern)
def test_no_machine_and_no_registry_is_named(pattern: re.Pattern[str], lines: list[tuple[str, str]]) -> None:
    assert not [f"{where}: {line.strip()}" for where, line in lines if pattern.search(line)]


def pointed_at(where: str, line: str) -> list[str]:
    """The files a line names by their path from the root, in a comment or in a text."""
    if where.split(":")[0].endswith(".py"):
        line = line.partition("#")[2] or (line if '"""' in line or "`" in line else "")
    return PATH.findall(line)


NOT_POINTERS = ("CHANGELOG", "pyproject.toml", "tests/unit/test_repository.py", "bench/anchors/", "Makefile")


def test_files_that_comments_and_pages_name_exist(lines: list[tuple[str, str]]) -> None:
    gone = [
        f"{where}: {name}"
        for where, line in lines
        if not where.startswith(NOT_POINTERS)
        for name in pointed_at(where, line)
        if "NAME" not in name and not (ROOT / name).exists() and not list(ROOT.glob(name + ".*"))
    ]
    assert not gone


def test_links_between_pages_lead_somewhere(files: list[Path]) -> None:
    gone = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in files
        if path.suffix == ".md"
        for target in RELATIVE_LINK.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert not gone


def test_every_extra_of_the_makefile_is_declared() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    used = set(re.findall(r"\$\(call install,[^,]*,([\w$()]+)\)", (ROOT / "Makefile").read_text()))
    for group in used:
        for name in group.replace("$(comma)", ",").split(","):
            assert name in extras


def test_each_bug_put_in_by_hand_has_its_place() -> None:
    """Its code is in the source once: who changes that code writes the bug anew."""
    for bug in BUGS:
        locate(bug)


def test_each_bug_put_in_by_hand_has_its_test() -> None:
    for bug in BUGS:
        file, _, name = bug.test.partition("::")
        test = rf"^(?:async )?def {re.escape(name.partition('[')[0])}\("
        assert re.search(test, (ROOT / file).read_text(), re.MULTILINE), bug
