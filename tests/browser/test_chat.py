"""People in a room, each in a window of their own."""

import re
from pathlib import Path

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import People, enter, say
from tests.support.server import ChatServer

PAYLOADS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    '"><script>window.pwned=1</script>',
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "<a href=javascript:window.pwned=1>click</a>",
    "javascript:window.pwned=1",
    'http://x/"onmouseover="window.pwned=1',
    "https://a.example/<script>window.pwned=1</script>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><button>go",
    "</div></main><h1>out</h1>",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "<math><mi xlink:href=javascript:pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<template><script>window.pwned=1</script></template>",
    "__proto__",
    "constructor",
    "]]>--><script>window.pwned=1</script>",
]


def texts(page: Page) -> list[str]:
    return page.locator("#messages .text").all_text_contents()


def names_here(page: Page) -> list[str]:
    return page.locator("#people .name").all_text_contents()


def test_two_talk_and_a_third_sees_the_history(server: ChatServer, people: People) -> None:
    ann, bob = people.enters(server, "Ann"), people.enters(server, "Bob")
    say(ann, "hello Bob")
    expect(bob.locator("#messages .text")).to_have_text(["hello Bob"])
    say(bob, "hello Ann")
    expect(ann.locator("#messages .text")).to_have_text(["hello Bob", "hello Ann"])
    expect(ann.locator("#messages .mine .text")).to_have_text(["hello Bob"])
    expect(ann.locator("#pending .message")).to_have_count(0)
    third = people.enters(server, "Cleo")
    expect(third.locator("#messages .text")).to_have_text(["hello Bob", "hello Ann"])
    expect(third.locator(".day")).to_have_text(["Today"])
    assert names_here(third) == ["Ann", "Bob", "Cleo"]
    other = people.enters(server, "Dora", "garden")
    expect(other.locator("#empty")).to_be_visible()


def test_markup_in_a_message_is_shown_as_text(server: ChatServer, people: People) -> None:
    room = "<b>lobby</b>"
    ann = people.enters(server, "<script>pwned=1</script>", room)
    bob = people.enters(server, "<img src=x onerror=pwned=1>", room)
    for index, payload in enumerate(PAYLOADS):
        say((ann, bob)[index % 2], payload)
        # One after the other, so that their order is known, and slowly enough for the limits of the server.
        expect(ann.locator("#messages .text")).to_have_count(index + 1)
    late = people.enters(server, "<svg onload=pwned=1>", room)
    for page in (ann, bob, late):
        expect(page.locator("#messages .text")).to_have_text(PAYLOADS)
        assert page.evaluate("typeof window.pwned") == "undefined"
        made = page.locator("#room").locator("script, img, svg, iframe, style, base, meta, math, details, template, b")
        expect(made).to_have_count(0)
        assert all(link.startswith(("http://", "https://")) for link in hrefs(page))
        expect(page.locator("#people .name")).to_have_text(
            ["<img src=x onerror=pwned=1>", "<script>pwned=1</script>", "<svg onload=pwned=1>"]
        )
        expect(page.locator("#room-name")).to_have_text("<b-lobby<-b")


def hrefs(page: Page) -> list[str]:
    found: list[str] = page.locator("#messages a").evaluate_all("links => links.map(link => link.href)")
    return found


def test_links_are_made_of_web_addresses_alone(server: ChatServer, people: People) -> None:
    ann = people.enters(server, "Ann")
    say(ann, "see https://a.example/b?c=d#e, (http://b.example) and javascript:alert(1) or ftp://c.example")
    expect(ann.locator("#messages a")).to_have_text(["https://a.example/b?c=d#e", "http://b.example"])
    for link in ann.locator("#messages a").all():
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"


def test_the_people_in_the_room_are_listed(server: ChatServer, people: People) -> None:
    ann, bob = people.enters(server, "Ann"), people.enters(server, "Bob")
    second = bob.context.new_page()
    second.goto(f"{server.page}/#lobby")
    enter(second, "Bob")
    expect(ann.locator("#people .name")).to_have_text(["Ann", "Bob"])
    second.close()
    # One window of two is closed: still there. A reload is no coming and going.
    bob.reload()
    expect(bob.locator("#state-text")).to_have_text("Connected")
    say(bob, "still here")
    expect(ann.locator("#messages .text")).to_have_text(["still here"])
    assert names_here(ann) == ["Ann", "Bob"]
    bob.close()
    expect(ann.locator("#people .name")).to_have_text(["Ann"])
    expect(ann.locator("#news")).to_have_text("Bob left")
    expect(ann.locator("#count")).to_have_text("1")
    cleo = people.enters(server, "Cleo")
    expect(ann.locator("#people .name")).to_have_text(["Ann", "Cleo"])
    cleo.get_by_role("button", name="Leave").click()
    expect(ann.locator("#people .name")).to_have_text(["Ann"])
    expect(cleo.get_by_label("Your name")).to_be_visible()


def test_a_name_that_is_taken_is_told_at_the_door(server: ChatServer, people: People) -> None:
    people.enters(server, "Ann")
    other = people()
    other.goto(server.page)
    other.get_by_label("Your name").fill("ANN")
    other.get_by_role("button", name="Enter").click()
    expect(other.get_by_role("alert")).to_have_text("Ann is in this room already; choose another name")
    expect(other.get_by_label("Your name")).to_have_value("ANN")
    enter(other, "Anna")
    assert names_here(other) == ["Ann", "Anna"]


def test_a_link_leads_to_the_room(server: ChatServer, people: People) -> None:
    ann = people.enters(server, "Ann", "The Garden")
    assert ann.url == f"{server.page}/#the-garden"
    bob = people()
    bob.goto(ann.url)
    expect(bob.get_by_label("Room", exact=True)).to_have_value("the-garden")
    enter(bob, "Bob")
    assert names_here(bob) == ["Ann", "Bob"]
    # Another room in the address is another room on the page.
    bob.evaluate("location.hash = '#cellar'")
    expect(bob.locator("#room-name")).to_have_text("cellar")
    expect(bob.locator("#people .name")).to_have_text(["Bob"])
    expect(ann.locator("#people .name")).to_have_text(["Ann"])


def test_the_keyboard(server: ChatServer, people: People) -> None:
    ann = people.enters(server, "Ann")
    box = ann.get_by_label("Message", exact=True)
    expect(box).to_be_focused()
    box.press_sequentially("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    expect(box).to_have_value("one\ntwo")
    box.press("Enter")
    expect(ann.locator("#messages .text")).to_have_text(["one\ntwo"])
    expect(box).to_have_value("")
    box.press("Enter")  # nothing is not said
    say(ann, "   ")
    say(ann, "three")
    expect(ann.locator("#messages .text")).to_have_count(2)


def test_missed_messages_come_when_the_connection_does(server: ChatServer, people: People) -> None:
    ann = people()
    routes: list[WebSocketRoute] = []
    open_again = [True]

    def through(route: WebSocketRoute) -> None:
        if open_again[0]:
            routes.append(route)
            route.connect_to_server()
        else:
            route.close(code=3002, reason="not now")

    ann.route_web_socket(re.compile("/ws$"), through)
    ann.goto(f"{server.page}/#lobby")
    enter(ann, "Ann")
    bob = people.enters(server, "Bob")
    say(bob, "before")
    expect(ann.locator("#messages .text")).to_have_text(["before"])
    open_again[0] = False
    routes[-1].close(code=3008, reason="slow")
    expect(ann.locator("#state")).to_have_attribute("data-state", "offline")
    expect(ann.get_by_role("button", name="Try now")).to_be_visible()
    for number in range(3):
        say(bob, f"missed {number}")
    expect(bob.locator("#messages .text")).to_have_count(4)
    say(ann, "said while away")
    expect(ann.locator("#pending .fate")).to_have_text(["Waits for the connection"])
    open_again[0] = True
    # In one step: the page also tries by itself, and the button goes when that comes first.
    ann.evaluate("document.querySelector('#retry:not([hidden])')?.click()")
    expect(ann.locator("#state-text")).to_have_text("Connected")
    everything = ["before", "missed 0", "missed 1", "missed 2", "said while away"]
    for page in (ann, bob):
        expect(page.locator("#messages .text")).to_have_text(everything)
    expect(ann.locator("#pending .message")).to_have_count(0)
    expect(ann.locator(".note")).to_have_count(0)


def test_the_server_is_killed_and_started_again(server: ChatServer, people: People) -> None:
    people.tolerate.append("WebSocket connection to")
    ann, bob = people.enters(server, "Ann"), people.enters(server, "Bob")
    say(ann, "before")
    expect(bob.locator("#messages .text")).to_have_text(["before"])
    server.kill()
    expect(ann.locator("#state-text")).to_have_text("Offline")
    say(ann, "said while it was down")
    expect(ann.locator("#pending .fate")).to_have_text(["Waits for the connection"])
    server.start()
    for page in (ann, bob):
        expect(page.locator("#state-text")).to_have_text("Connected")
        # What the page had stays, what is lost is told in its place, and what was waiting is said once.
        expect(page.locator("#messages .text")).to_have_text(["before", "said while it was down"])
        expect(page.locator(".note")).to_have_text([re.compile("could not be recovered")])
        expect(page.locator(".day")).to_have_count(1)
        expect(page.locator("#people .name")).to_have_text(["Ann", "Bob"])
    expect(ann.locator("#pending .message")).to_have_count(0)


def test_a_room_that_is_kept_in_a_file_outlives_its_server(people: People, tmp_path: Path) -> None:
    people.tolerate.append("WebSocket connection to")
    with ChatServer("--grace", "0.3", "--url", f"sqlite:///{tmp_path}/chat.db") as server:
        ann = people.enters(server, "Ann")
        for text in ("one", "two", "three"):
            say(ann, text)
        expect(ann.locator("#messages .text")).to_have_text(["one", "two", "three"])
        expect(ann.locator("#pending .message")).to_have_count(0)
        server.kill()
        expect(ann.locator("#state-text")).to_have_text("Offline")
        say(ann, "said while it was down")
        server.start()
        expect(ann.locator("#state-text")).to_have_text("Connected")
        everything = ["one", "two", "three", "said while it was down"]
        for page in (ann, people.enters(server, "Bob")):
            expect(page.locator("#messages .text")).to_have_text(everything)
            expect(page.locator(".note")).to_have_count(0)


def test_too_fast_is_sent_a_little_later_and_in_order(server: ChatServer, people: People) -> None:
    ann = people.enters(server, "Ann")
    for number in range(30):
        say(ann, str(number))
    expect(ann.locator("#messages .text")).to_have_text([str(number) for number in range(30)])
    expect(ann.locator("#pending .message")).to_have_count(0)


def test_a_reader_of_older_messages_is_not_moved(server: ChatServer, people: People) -> None:
    ann, bob = people.enters(server, "Ann"), people.enters(server, "Bob")
    say(bob, "line\n" * 120)
    expect(ann.locator("#messages .text")).to_have_count(1)
    ann.locator("#log").evaluate("log => { log.scrollTop = 0 }")
    ann.wait_for_function("() => document.querySelector('#log').scrollTop === 0")
    ann.evaluate("() => new Promise(requestAnimationFrame)")
    say(bob, "news")
    pill = ann.get_by_role("button", name="New messages")
    expect(pill).to_be_visible()
    assert ann.locator("#log").evaluate("log => log.scrollTop") == 0
    pill.click()
    expect(pill).to_be_hidden()
    expect(ann.get_by_text("news")).to_be_in_viewport()
