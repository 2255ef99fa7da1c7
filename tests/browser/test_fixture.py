"""The browser is there, and an error on a page is not overlooked."""

from playwright.sync_api import Browser, expect

from tests.browser.conftest import People


def test_a_page_is_shown(people: People) -> None:
    page = people()
    page.set_content("<h1>telex</h1>")
    expect(page.get_by_role("heading")).to_have_text("telex")


def test_complaints_are_heard(browser: Browser) -> None:
    people = People(browser)
    people.tolerate.append("expected")
    page = people()
    page.evaluate("console.error('expected'); console.error('bad'); setTimeout(() => { throw new Error('worse') })")
    page.wait_for_event("pageerror")
    people.close()
    assert people.problems == ["bad", "worse"]
