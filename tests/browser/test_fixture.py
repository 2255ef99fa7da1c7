"""The browser is there, and an error on a page is not overlooked."""

from collections.abc import Callable

from playwright.sync_api import Page, expect


def test_a_page_is_shown(people: Callable[[], Page]) -> None:
    page = people()
    page.set_content("<h1>telex</h1>")
    expect(page.get_by_role("heading")).to_have_text("telex")
