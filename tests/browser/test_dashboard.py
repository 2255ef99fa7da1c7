"""The dashboard in a browser: live figures, actions, both schemes, a phone, and its accessibility."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import WebSocketRoute, expect

import telex
import telex.blocking
from tests.browser.conftest import People
from tests.support.server import ENVIRONMENT

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
PROGRAM = """
    import asyncio, sys, telex

    async def main(url):
        hub = telex.Hub(url)

        @hub.on("orders:*", group="billing", retry=telex.Retry(attempts=1))
        async def bill(order: int):
            if order < 0:
                raise ValueError("the card was declined")

        @hub.command("report:build")
        async def build(pages: int) -> int:
            return pages

        @hub.command("report:print", concurrency=1)
        async def print_(text: str) -> None:
            if text == "broken":
                raise telex.CommandError("no <b>paper</b>")
            await asyncio.Event().wait()

        @hub.every("1h", name="hourly")
        async def hourly(): ...

        async with hub:
            for number in (1, 2, -3, -4):
                await hub.topic(f"orders:{number % 2}").publish(number)
            await hub.idle()
            await hub.schedules.add("weekly", "0 9 * * mon", command="report:print", content="<i>" + "x" * 300)
            await (await hub.send("report:print", "broken")).outcome()
            for text in ("first", "<i>" + "x" * 300):
                await hub.send("report:print", text)
            print("ready", flush=True)
            await asyncio.Event().wait()

    asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def page_address(url: str) -> Iterator[str]:
    commands = [
        [sys.executable, "-c", textwrap.dedent(PROGRAM), url],
        [sys.executable, "-m", "telex", "dashboard", "--url", url, "--port", "0", "--json"],
    ]
    processes = []
    try:
        for command in commands:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT, cwd=os.sep
            )
            processes.append(process)
            assert process.stdout is not None
            line = process.stdout.readline()
        yield json.loads(line)["page"]
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


def publish(url: str, topic: str, content: object) -> None:
    with telex.blocking.Hub(url) as hub:
        hub.topic(topic).publish(content)
        assert hub.call("report:build", 7, timeout=20) == 7


def test_the_page_is_live_and_changes_the_engine(page_address: str, url: str, people: People) -> None:
    page = people()
    page.goto(page_address)
    expect(page.locator("#state-text")).to_have_text("Live")
    expect(page.locator("#dead tbody tr")).to_have_count(2)
    expect(page.locator("#triggers tbody")).to_contain_text("hourly")
    with ThreadPoolExecutor(1) as pool:  # this thread has Playwright's event loop, which nothing may block
        pool.submit(publish, url, "news", 1).result()
    expect(page.locator("#topics tbody")).to_contain_text("news")
    expect(page.locator("#commands tbody")).to_contain_text("report:build")

    page.locator("#dead").get_by_role("button", name="Drop").first.click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#dead tbody tr")).to_have_count(2)
    page.locator("#dead").get_by_role("button", name="Drop").first.click()
    page.get_by_role("button", name="Drop it").click()
    expect(page.locator("#dead tbody tr")).to_have_count(1)

    pause = page.get_by_role("button", name="Pause billing on orders:*")
    pause.focus()
    page.keyboard.press("Enter")
    resume = page.get_by_role("button", name="Resume billing on orders:*")
    expect(resume).to_be_focused()
    expect(page.locator("#groups tbody")).to_contain_text("paused")
    resume.click()
    expect(page.locator("#groups tbody")).to_contain_text("runs")

    page.get_by_label("Show topics with").fill("NEW")
    expect(page.locator("#topics tbody tr")).to_have_count(1)


def test_an_engine_that_cannot_be_read_shows_in_words(page_address: str, people: People) -> None:
    page = people()
    problem = ["gone"]

    def through(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: socket.send(str(frame).replace('"problem":""', f'"problem":"{problem[0]}"')))

    page.route_web_socket(re.compile("/ws$"), through)
    page.goto(page_address)
    expect(page.locator("#state-text")).to_have_text("Engine not read")
    expect(page.locator("#notice")).to_contain_text("The engine cannot be read")
    problem[0] = ""
    expect(page.locator("#state-text")).to_have_text("Live")
    expect(page.locator("#notice")).to_be_hidden()


def test_commands_and_schedules_are_shown_as_text_and_changed(page_address: str, people: People) -> None:
    page = people()
    page.goto(page_address)
    jobs, schedules = page.locator("#jobs tbody"), page.locator("#schedules tbody")
    expect(jobs).to_contain_text("CommandError: no <b>paper</b>")
    expect(jobs.locator("b, i")).to_have_count(0)  # content is text, never HTML
    waiting, first = (jobs.locator("tr").filter(has_text=text) for text in ('"<i>xxx', '"first"'))
    expect(first).to_contain_text("running")  # by the heartbeat of its worker
    expect(waiting).to_contain_text("queued")
    assert max(map(len, jobs.locator("button.long code").all_inner_texts())) <= 200
    text = waiting.locator("button.long")
    cut = text.bounding_box()
    text.focus()
    page.keyboard.press("Enter")
    expect(text).to_have_attribute("aria-expanded", "true")
    whole = text.bounding_box()
    assert cut is not None
    assert whole is not None
    assert whole["height"] > 2 * cut["height"], "a keyboard shows all of a long text"

    cancel = waiting.get_by_role("button", name="Cancel")
    before = cancel.element_handle()
    cancel.focus()
    page.keyboard.press("Enter")
    before.wait_for_element_state("hidden")  # it has left the page: the table was filled again
    page.get_by_role("button", name="Keep it").click()
    expect(cancel).to_be_focused()
    expect(waiting).to_have_count(1)
    first.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(first).to_have_count(0)
    jobs.get_by_role("button", name="Retry").click()
    expect(jobs.locator("tr").filter(has_text='"broken"')).to_contain_text("queued")

    schedules.get_by_role("button", name="Pause the schedule weekly").click()
    expect(schedules).to_contain_text("paused")
    schedules.get_by_role("button", name="Resume the schedule weekly").click()
    expect(schedules).to_contain_text("runs")
    schedules.get_by_role("button", name="Delete the schedule weekly").click()
    page.get_by_role("button", name="Delete it").click()
    expect(schedules).to_contain_text("No schedule was added.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast_and_nothing_is_wider_than_the_window(
    page_address: str, people: People, scheme: Literal["light", "dark"]
) -> None:
    for width, height in ((1280, 800), (390, 844)):
        page = people(width, height, scheme)
        page.goto(page_address)
        expect(page.locator("#dead tbody tr")).to_have_count(2)
        assert page.evaluate(CONTRAST) == []
        wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= window
