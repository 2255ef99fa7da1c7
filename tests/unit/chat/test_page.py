"""The files of the page, and what the browser may load with them."""

import httpx

from telex.chat.page import load
from tests.unit.chat.visitors import chat


async def test_the_page_and_its_parts() -> None:
    async with chat() as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            page = await client.get("/")
            assert page.status_code == 200
            policy = page.headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            for name in load():
                part = await client.get(f"/static/{name}")
                assert part.status_code == 200, name
                assert part.headers["content-security-policy"] == policy
                again = await client.get(f"/static/{name}", headers={"If-None-Match": part.headers["etag"]})
                assert again.status_code == 304
            for missing in ("/static/no.js", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/other"):
                assert (await client.get(missing)).status_code == 404
        async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
            refused = await client.get("/")
            assert refused.status_code == 421
            assert "--allow-host" in refused.text


def test_the_page_runs_nothing_inline_and_nothing_from_elsewhere() -> None:
    for name, asset in load().items():
        text = asset.body.decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", 'onclick="'):
            assert word not in text, f"{word} in {name}"
        assert "//cdn" not in text
        assert "@import" not in text
