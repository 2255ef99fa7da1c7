"""The commands and options that the pages name are those that the program has."""

import io
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from telex.cli.app import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A command in code, and what follows it on the same line up to the next one.
MENTION = re.compile(r"(?:`|\$ (?:\S*/)?)telex ([a-z]+)\b((?:(?!`telex ).)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def mentions() -> dict[str, set[str]]:
    """Every `telex COMMAND` in code on a page, with the options that the line names after it."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for line in page.read_text().splitlines():
            for command, rest in MENTION.findall(line):
                found.setdefault(command, set()).update(OPTION.findall(rest))
    return found


def told(*arguments: str) -> str:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        for name, value in {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}.items():
            patch.setenv(name, value)
        code = run(arguments)
    assert code == 0, out.getvalue()
    return out.getvalue()


def test_commands_are_found_on_the_pages() -> None:
    assert {"chat", "pub", "sub", "topics", "run"} <= set(mentions())


@pytest.mark.parametrize("command", sorted(mentions()))
def test_command_has_its_options_and_examples(command: str) -> None:
    shown = told(command, "--help")
    assert mentions()[command] <= set(OPTION.findall(shown))
    assert f"telex {command}" in shown, "the help shows no example"


@pytest.mark.parametrize("command", ["dead", "groups", "once", "schedules", "triggers"])
def test_every_part_of_a_command_is_on_the_page(command: str) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    (row,) = [line for line in page.splitlines() if re.match(rf"\| `telex {command} [a-z]", line)]
    parts = re.findall(r"^  ([a-z]+)  ", told(command, "--help").partition("Commands")[2], re.MULTILINE)
    assert parts
    for part in parts:
        assert f"{part}`" in row


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    commands = re.findall(r"^[\s│|]+([a-z]+)  ", told("--help").partition("Commands")[2], re.MULTILINE)
    assert commands
    for command in commands:
        assert f"`telex {command}" in page


@pytest.mark.slow
def test_the_program_is_installed() -> None:
    program = Path(sys.executable).with_name("telex")
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("telex ")
