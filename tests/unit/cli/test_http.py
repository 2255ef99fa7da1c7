"""`telex send` by HTTP."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import telex as package
from telex.cli import http
from telex.errors import BadOption
from telex.gateway import AccessRules, Commands
from tests.unit.cli.conftest import Telex, declare


@pytest.mark.parametrize(("key", "written"), [("a", '"a"'), ('a "b" \\', '"a \\"b\\" \\\\"'), (" ", '" "')])
def test_a_key_is_quoted_for_a_header(key: str, written: str) -> None:
    assert http.quoted(key) == written


@pytest.mark.parametrize("key", ["a\nb", "\x7f", "über", "\ud800", "a\tb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(BadOption, match="printable ASCII"):
        http.quoted(key)


class Watched:
    """An app, and what is done when it has answered with a status or to a method."""

    def __init__(self, app: ASGIApp, gate: threading.Event, opens: int) -> None:
        self._app, self._gate, self._opens = app, gate, opens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            await send(message)
            told = message.get("status")
            if told == self._opens and (told != 202 or scope["method"] == "GET"):
                self._gate.set()

        await self._app(scope, receive, watched)


@contextmanager
def server(gate: threading.Event, opens: int = 0) -> Iterator[str]:
    """Commands below /commands of a server in another thread; the gate opens when it has answered with a status."""
    hub = package.Hub()
    declare(hub, gate)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield
            gate.set()

    commands = Watched(Commands(hub, rules=AccessRules(call=("report:*", "echo", "wait", "nobody"))), gate, opens)
    app = Starlette(routes=[Mount("/commands", commands)], lifespan=lifespan)
    running = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=running.run, args=[[listener]])
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.should_exit = True
            thread.join()


@pytest.mark.slow
def test_by_http(telex: Telex, gate: threading.Event) -> None:
    with server(gate) as place:
        ran = telex("send", "report:build", "2026", "--key", 'say "a"\\', "--server", f"{place}/commands/")
        assert ran == (0, '{"pages":2026,"attempt":1}\n', "")
        told = json.loads(telex("send", "report:build", "2026", "--key", 'say "a"\\', "--json", "-s", place).out)
        assert (told["result"]["pages"], told["replayed"]) == (2026, True)
        assert telex("send", "echo", "-s", place.removeprefix("http://")).out == "null\n"
        failed = telex("send", "report:print", "1", "--key", "b", "--json", "--server", place)
        assert (failed.code, json.loads(failed.out)["error"]["code"]) == (5, "out_of_paper")
        for arguments, code, said in (
            (("secret",), 1, "status 404"),
            (("nobody",), 1, "no program serves"),
            (("report:build", "1"), 2, "give the key, such as --key order-7"),
            (("report:build", "1", "--key", 'say "a"\\'), 1, "other content"),
            (("report:build", '"x"', "--key", "c"), 1, "status 422"),
            (("report:build", "1", "--key", "ä"), 2, "ASCII"),
        ):
            ran = telex("send", *arguments, "--server", place)
            assert (ran.code, ran.out) == (code, ""), arguments
            assert said in ran.err
        assert telex("send", "echo", "--server", f"{place}/else").code == 1


@pytest.mark.slow
@pytest.mark.parametrize(("opens", "first"), [(202, False), (409, True)])
def test_by_http_it_is_waited_for(telex: Telex, gate: threading.Event, opens: int, first: bool) -> None:
    with server(gate, opens) as place:
        if first:  # another sender's is running
            told = json.loads(telex("send", "wait", "--key", "a", "--no-wait", "--json", "--server", place).out)
            assert set(told) == {"command", "id", "key"}
        assert telex("send", "wait", "--key", "a", "--server", place) == (0, "done\n", "")


@pytest.mark.slow
def test_by_http_the_time_is_over(telex: Telex, gate: threading.Event) -> None:
    with server(gate) as place:
        assert telex("send", "wait", "--key", "a", "--timeout", "50ms", "--server", place).code == 4


@pytest.mark.slow
def test_servers_that_are_none(telex: Telex) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert telex("send", "echo", "--timeout", "10ms", "--server", silent).code == 4
    assert telex("send", "echo", "--server", silent).code == 3
    for wrong in ("ftp://x", "http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:0"):
        ran = telex("send", "echo", "--server", wrong)
        assert (ran.code, "http://127.0.0.1:8000/commands" in ran.err) == (2, True)
