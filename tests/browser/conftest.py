"""A real Chromium: `browser`; `people`, who open a window each; `server`, a chat room of the test's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.support.server import ChatServer

CHROMIUM = Path(__file__).parents[2] / "scripts" / "chromium.py"
WAIT = 15_000
"""Milliseconds that a page is given to show what a test looks for."""
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
expect.set_options(timeout=WAIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent) + os.sep
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker("browser")
            item.add_marker("slow")


# Playwright keeps the thread's event loop to itself while it runs: it ends with this folder, before the async tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    found = subprocess.run([sys.executable, str(CHROMIUM)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr.strip()
    # Chromium's sandbox does not start for root, as which containers often run tests.
    sandbox = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=[*ARGUMENTS, *sandbox])
        yield browser
        browser.close()


class People:
    """Windows with cookies and storage of their own. What a page complains of is in `problems`.

    ``tolerate`` are parts of complaints that a test brings about on purpose.
    """

    def __init__(self, browser: Browser) -> None:
        self.problems: list[str] = []
        self.tolerate: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def __call__(self, width: int = 1280, height: int = 800, scheme: Literal["light", "dark"] = "light") -> Page:
        """A new window."""
        size: ViewportSize = {"width": width, "height": height}
        context = self._browser.new_context(viewport=size, color_scheme=scheme)
        context.set_default_timeout(WAIT)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", self._asked)
        return page

    def enters(self, server: ChatServer, name: str, room: str = "lobby", width: int = 1280) -> Page:
        """A new window, in a room."""
        page = self(width)
        page.goto(f"{server.page}/#{quote(room)}")
        enter(page, name)
        return page

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    def _asked(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(part in message.text for part in self.tolerate):
            self.problems.append(message.text)


def enter(page: Page, name: str) -> None:
    """Give the name at the door, and wait until inside."""
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#state-text")).to_have_text("Connected")


def say(page: Page, text: str) -> None:
    """Type and send."""
    box = page.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")
    if text.strip():
        expect(box).to_have_value("")  # the page has taken it; what was not taken would be overwritten by the next


@pytest.fixture
def people(browser: Browser) -> Iterator[People]:
    """A function that opens windows. An error on a page, or a warning, fails the test."""
    made = People(browser)
    yield made
    made.close()
    assert not made.problems, f"the page complained: {made.problems}"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer("--grace", "0.3") as running:
        yield running
