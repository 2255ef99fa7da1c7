"""A real Chromium: `browser`, and `people`, which opens one window a person."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = Path(__file__).parents[2] / "scripts" / "chromium.py"
WAIT = 10_000
"""Milliseconds that a page is given to show what a test looks for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            item.add_marker("slow")


# Playwright keeps the thread's event loop to itself while it runs: it ends with this folder, before the async tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    found = subprocess.run([sys.executable, str(CHROMIUM)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip())
        yield browser
        browser.close()


@pytest.fixture
def people(browser: Browser) -> Iterator[Callable[[], Page]]:
    """A function that opens a page with cookies and storage of its own. An error on a page fails the test."""
    problems: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    def person() -> Page:
        context = browser.new_context()
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: problems.append(str(error)))
        return page

    yield person
    for context in contexts:
        context.close()
    assert not problems, f"the page complained: {problems}"
