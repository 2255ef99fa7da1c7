"""The dashboard as an app: who may connect, live snapshots, and actions."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import telex
import telex.gateway
from telex.chat.page import load
from telex.dashboard import Dashboard
from telex.dashboard.snapshot import Snapshot
from telex.gateway import CloseCode, Peer
from tests.support.asgi import stream
from tests.support.websocket import WebSocketClient


@pytest.fixture(autouse=True)
def files_are_read() -> None:
    """The files of the page are read once, by the first dashboard of a process; programs make it before their loop."""
    for package in ("telex.dashboard", "telex.chat"):
        load(package)


async def get(app: Any, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    return await stream(app, path, headers={"host": "localhost", **(headers or {})})


async def test_the_page_and_its_files_come_with_a_strict_policy() -> None:
    async with telex.Hub() as hub:
        board = Dashboard(hub)
        status, body = await get(board, "/")
        assert (status, "telex dashboard" in body) == (200, True)
        for name in ("app.js", "wire.js", "style.css", "icon.svg"):
            assert (await get(board, f"/static/{name}"))[0] == 200
        assert (await get(board, "/static/nothing.js"))[0] == 404
        await board.aclose()
        await board.aclose()


@pytest.mark.parametrize(
    ("auth", "headers", "status"),
    [
        (None, {}, 200),
        (None, {"x-forwarded-for": "203.0.113.5"}, 403),
        (None, {"host": "rebound.example"}, 403),
        (lambda peer: False, {}, 403),
        (lambda peer: "secret" in peer.headers.get("cookie", ""), {"cookie": "secret", "x-forwarded-for": "1"}, 200),
    ],
)
async def test_only_this_machine_and_those_whom_auth_knows_may_connect(
    auth: Callable[[Peer], bool] | None, headers: Mapping[str, str], status: int
) -> None:
    async with telex.Hub() as hub:
        board = Dashboard(hub, auth=auth)
        assert (await get(board, "/", headers))[0] == status
        await board.aclose()


async def test_a_websocket_that_may_not_connect_is_closed_on_every_server() -> None:
    async with telex.Hub() as hub, WebSocketClient(Dashboard(hub, auth=lambda peer: False)) as client:
        assert (client.accepted, client.status, client.code) == (False, None, 1000)


async def test_auth_may_be_async() -> None:
    async def nobody(peer: Peer) -> bool:
        return False

    async with telex.Hub() as hub:
        assert (await get(Dashboard(hub, auth=nobody), "/"))[0] == 403


async def test_an_action_is_carried_out_and_shown_at_once() -> None:
    async with telex.Hub() as hub:
        board = Dashboard(hub)
        await get(board, "/")  # it opens with the first request
        await hub.schedules.add("tick", "@daily", topic="ticks")
        await board.act("pause_schedule", {"schedule": "tick"})
        assert [each.paused for each in (await board.snapshots.take()).schedules] == [True]
        with pytest.raises(telex.gateway.Refused, match="no action 'format'"):
            await board.act("format", {})
        await board.aclose()


@pytest.mark.slow
async def test_an_error_of_a_snapshot_is_logged_and_the_next_snapshot_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub() as hub:
        board = Dashboard(hub)
        taken, take = asyncio.Event(), board.snapshots.take
        failures = [ValueError("odd")]

        async def failing() -> Snapshot:
            if failures:
                raise failures.pop()
            taken.set()
            return await take()

        monkeypatch.setattr(board.snapshots, "take", failing)
        async with WebSocketClient(board, path="/ws", headers={"host": "localhost"}):
            await taken.wait()
        await board.aclose()
    assert "refreshing of the dashboard" in caplog.text
    assert "ValueError: odd" in caplog.text


async def test_a_closed_dashboard_tells_pages_to_come_back() -> None:
    async with telex.Hub() as hub:
        board = Dashboard(hub)
        await board.aclose()
        assert (await get(board, "/"))[0] == 200
        async with WebSocketClient(board) as page:
            assert await page.closed() == CloseCode.RESTART
