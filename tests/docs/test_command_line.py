"""The commands and options that the pages name are those that the program has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("telex")
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
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    run = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_commands_are_found_on_the_pages() -> None:
    assert {"chat", "pub", "sub", "topics", "run"} <= set(mentions())


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(mentions()))
def test_command_has_its_options_and_examples(command: str) -> None:
    shown = told(command, "--help")
    assert mentions()[command] <= set(OPTION.findall(shown))
    assert f"telex {command}" in shown, "the help shows no example"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dead", "groups", "once", "triggers"])
def test_every_part_of_a_command_is_on_the_page(command: str) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    (row,) = [line for line in page.splitlines() if re.match(rf"\| `telex {command} [a-z]", line)]
    parts = re.findall(r"^  ([a-z]+)  ", told(command, "--help").partition("Commands")[2], re.MULTILINE)
    assert parts
    for part in parts:
        assert f"{part}`" in row


@pytest.mark.slow
def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    commands = re.findall(r"^[\s│|]+([a-z]+)  ", told("--help").partition("Commands")[2], re.MULTILINE)
    assert commands
    for command in commands:
        assert f"`telex {command}" in page
