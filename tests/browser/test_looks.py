"""The look of the page, as far as a program can measure it: widths, contrast, labels, motion."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from telex.cli.client import Client
from telex.gateway.protocol import Publish, Published
from tests.browser.conftest import People, enter, say
from tests.support.server import ChatServer

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
NAMES = ["Ann", "Bob", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hal", "Ivy", "Jo", "Kim", "Lea", "Max", "Nora"]
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


def all_speak(url: str) -> None:
    with Client(url, 5) as client:
        for name in NAMES:
            client.request(Publish("chatroom:lobby", {"name": name, "text": "see https://a.example"}), Published)


def no_scroll(page: Page) -> None:
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window, f"{width} wide in a window of {window}"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(server: ChatServer, people: People, width: int) -> None:
    people.tolerate.append("WebSocket connection to")
    page = people(width, 640)
    page.goto(f"{server.page}/#{'r' * 64}")
    no_scroll(page)
    enter(page, "W" * 32)
    say(page, LONG)
    say(page, f"https://a.example/{LONG}")
    expect(page.locator("#messages .text")).to_have_count(2)
    no_scroll(page)
    for line in page.locator("#messages .text").all():
        box = line.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    if width < 760:
        toggle = page.get_by_role("button", name="1 here")
        toggle.click()
        expect(toggle).to_have_attribute("aria-expanded", "true")
        expect(page.get_by_role("button", name="Leave")).to_be_in_viewport()
        no_scroll(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Leave")).to_be_hidden()
    server.kill()
    expect(page.locator("#state-text")).to_have_text("Offline")
    no_scroll(page)
    expect(page.get_by_role("button", name="Try now")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(server: ChatServer, people: People, scheme: Literal["light", "dark"]) -> None:
    people.tolerate.append("WebSocket connection to")
    page = people(1280, 800, scheme)
    page.goto(server.page)
    weak = page.evaluate(CONTRAST)
    assert weak == []
    with ThreadPoolExecutor(1) as pool:  # this thread has Playwright's event loop, which nothing may block
        pool.submit(all_speak, server.gateway).result()
    enter(page, "Zoe")
    assert len(set(page.locator(".sign").evaluate_all("all => all.map(one => one.className)"))) == 8
    say(page, "mine, with https://a.example")
    expect(page.locator("#messages .text")).to_have_count(len(NAMES) + 1)
    assert page.evaluate(CONTRAST) == []
    server.kill()
    expect(page.locator("#state-text")).to_have_text("Offline")
    say(page, "waits")
    expect(page.locator("#pending .fate")).to_have_text("Waits for the connection")
    assert page.evaluate(CONTRAST) == []


def test_everything_has_a_name_and_a_role(server: ChatServer, people: People) -> None:
    page = people()
    page.goto(server.page)
    expect(page.get_by_role("heading", name="telex")).to_be_visible()
    for label in ("Your name", "Room"):
        expect(page.get_by_role("textbox", name=label)).to_be_visible()
    enter(page, "Ann")
    expect(page.get_by_role("log", name="Messages")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    expect(page.get_by_role("complementary", name="People and room")).to_be_visible()
    nameless = page.locator("button:visible").evaluate_all("all => all.filter(one => !one.textContent.trim()).length")
    assert nameless == 0
    say(page, "hello")
    moment = page.locator("#messages time").first
    assert "T" in (moment.get_attribute("datetime") or "")
    # History is not read out one by one; what comes after it is.
    expect(page.locator("#log")).not_to_have_attribute("aria-busy", "true")


def test_nothing_moves_for_a_reader_who_wants_less_motion(server: ChatServer, people: People) -> None:
    people.tolerate.append("WebSocket connection to")
    page = people()
    page.emulate_media(reduced_motion="reduce")
    page.goto(server.page)
    enter(page, "Ann")
    page.evaluate("document.querySelector('#state').dataset.state = 'connecting'")
    assert page.locator(".dot").evaluate("dot => getComputedStyle(dot).animationName") == "none"


def test_the_page_s_own_words(server: ChatServer, people: People) -> None:
    page = people()
    page.goto(server.page)
    script = """async () => {
        const { newId, dayName, linked, count } = await import("/static/text.js");
        const { mayComeBack } = await import("/static/wire.js");
        const { explain } = await import("/static/log.js");
        const now = new Date(2026, 0, 1, 12);
        const holder = document.createElement("p");
        holder.append(linked("a https://a.example. b http://[bad c"));
        return {
            ids: [newId(), newId(Date.UTC(2026, 0, 1)), newId(0)],
            days: [now, new Date(2025, 11, 31, 23, 59)].map((day) => dayName(day, now)),
            text: holder.textContent,
            links: holder.querySelectorAll("a").length,
            counts: [count(1, "message"), count(2, "message")],
            back: [1006, 1012, 3008, 3499, 4000, 1003, 1009, 3500, 3999].map(mayComeBack),
            lost: [explain({ reason: "trimmed", count: 2 }, false), explain({ reason: "trimmed", count: 9 }, true)],
        };
    }"""
    found = page.evaluate(script)
    for id in found["ids"]:
        assert id[14] == "7"
        assert id[19] in "89ab"
        assert len(id) == 36
    assert found["ids"][1].startswith("019b76da-a800-7")
    assert found["ids"][2].startswith("00000000-0000-7")
    assert found["days"] == ["Today", "Yesterday"]
    assert found["text"] == "a https://a.example. b http://[bad c"
    assert found["links"] == 1
    assert found["counts"] == ["1 message", "2 messages"]
    assert found["back"] == [True] * 5 + [False] * 4
    assert found["lost"] == ["2 messages could not be recovered.", "Earlier messages are no longer kept."]
