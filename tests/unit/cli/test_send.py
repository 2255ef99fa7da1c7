"""`telex send`, `follow` and `once`, on a file and by HTTP."""

import asyncio
import io
import json
import re
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import telex as package
from telex.cli.bar import Bar
from telex.gateway import AccessRules, Commands
from telex.once.results import RESULTS_BUCKET
from tests.support.internals import records_of
from tests.support.loops import until
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


class OutOfPaper(package.CommandError):
    code = "out_of_paper"


def declare(
    hub: package.Hub | package.blocking.Hub, gate: threading.Event | None = None, begun: threading.Event | None = None
) -> None:
    """``begun`` is set when `wait` runs, which goes on until ``gate`` is."""
    opened, runs = gate or threading.Event(), begun or threading.Event()

    @hub.command("report:build", once=True)
    def build(year: int, context: package.CommandContext[int]) -> dict[str, int]:
        context.progress(0.5, "half")
        return {"pages": year, "attempt": context.attempt}

    @hub.command("report:print", once=True)
    def print_(year: int) -> None:
        raise OutOfPaper("no paper", data={"tray": 2})

    @hub.command("echo")
    def echo(content: object) -> object:
        return content

    @hub.command("badly")
    def badly() -> int:
        return "x"  # type: ignore[return-value]  # on purpose

    @hub.command("wait", once=True)
    async def wait(content: object, context: package.CommandContext[object]) -> str:
        context.progress(0.25, "a quarter")
        runs.set()
        await until(lambda: opened.is_set())  # it is set in another thread
        return "done"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def begun() -> threading.Event:
    return threading.Event()


@pytest.fixture
def serving(url: str, gate: threading.Event, begun: threading.Event) -> Iterator[str]:
    """A file that a hub of another thread serves."""
    hub = package.blocking.Hub(url)
    declare(hub, gate, begun)
    with hub:
        yield url
        gate.set()


# -- on a file


def test_a_result_is_printed(telex: Telex, serving: str) -> None:
    assert telex("send", "report:build", "2026", "--key", "a", "--url", serving) == (
        0,
        '{"pages":2026,"attempt":1}\n',
        "",
    )
    told = json.loads(telex("send", "report:build", "2026", "-k", "a", "--json", "--url", serving).out)
    assert told["result"] == {"pages": 2026, "attempt": 1}
    assert (told["command"], told["key"], told["replayed"]) == ("report:build", "a", True)


@pytest.mark.parametrize(
    ("given", "shown"), [("7", "7"), ('"text \\u001b[2J"', "text  [2J"), ("null", "null"), ('{"a": [1]}', '{"a":[1]}')]
)
def test_content_is_json(telex: Telex, serving: str, given: str, shown: str) -> None:
    assert telex("send", "echo", given, "--url", serving).out == shown + "\n"


def test_content_of_standard_input(telex: Telex, serving: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1, 2]\n")))
    assert telex("send", "echo", "-", "--url", serving).out == "[1,2]\n"


def test_a_command_that_fails(telex: Telex, serving: str) -> None:
    ran = telex("send", "report:print", "1", "--key", "a", "--json", "--url", serving)
    assert ran.code == 5
    assert ran.err == "telex: the command 'report:print' failed: OutOfPaper: no paper\n"
    told = json.loads(ran.out)
    assert told["error"] == {
        "type": "OutOfPaper",
        "code": "out_of_paper",
        "message": "no paper",
        "data": {"tray": 2},
        "final": True,
    }
    assert "result" not in told
    assert telex("send", "report:print", "1", "--key", "a", "--url", serving).out == ""


def test_what_is_refused(telex: Telex, serving: str) -> None:
    assert telex("send", "report:build", "1", "--key", "a", "--url", serving).code == 0
    for arguments, code, said in (
        (("echo", "{a"), 2, """write text as '"text"'"""),
        (("report:build", "1"), 2, "give the key, such as --key order-7"),
        (("report:build", "2", "--key", "a"), 1, "was used with other content"),
        (("nobody", "1"), 1, "--no-wait to have it run when that program starts"),
        (("report:build", "1", "--key", ""), 2, "bad --key '': it is 1 to 255 printable characters, such as order-7"),
        (("report:build", '"x"', "--key", "b"), 1, "telex: content for 'report:build' is refused at $: Expected `int`"),
        (("badly",), 5, "the command 'badly' failed: its result is refused at $: Expected `int`"),
        (("a b", "1"), 2, "whitespace"),
        (("echo", "1", "--timeout", "soon"), 2, "'5m'"),
        (("echo", "1", "--server", "http://127.0.0.1"), 2, "one of the two"),
    ):
        ran = telex("send", *arguments, "--url", serving)
        assert (ran.code, ran.out) == (code, ""), arguments
        assert said in " ".join(ran.err.split())
        # Who sits at a terminal need not know of topics, of Python and of what it calls options.
        assert not re.search(r"\btopic|publish|\w=[.'\w]|hub\b|timedelta|ContentError", ran.err), ran.err
    assert telex("send", "echo", "1").code == 2
    assert "there is no file" in telex("send", "echo", "1", "--url", "sqlite:////nowhere/x.db").err


def test_the_time_is_over_and_it_goes_on(telex: Telex, serving: str, gate: threading.Event) -> None:
    ran = telex("send", "wait", "--key", "a", "--timeout", "100ms", "--url", serving)
    assert ran.code == 4
    assert "took longer than the 0.1 s" in ran.err
    gate.set()
    assert telex("send", "wait", "--key", "a", "--url", serving).out == "done\n"


def test_not_waiting(telex: Telex, url: str) -> None:
    with package.blocking.Hub(url):
        pass
    sent = telex("send", "echo", "7", "--no-wait", "--url", url)
    assert sent.code == 0
    told = json.loads(telex("send", "echo", "8", "--no-wait", "--json", "--url", url).out)
    assert set(told) == {"command", "id"}
    hub = package.blocking.Hub(url)
    declare(hub)
    with hub, hub.follow("echo", start="earliest") as follower:
        outcomes = [follower.receive(timeout=20) for _ in range(2)]
        assert {outcome.id: outcome.result for outcome in outcomes} == {sent.out.strip(): 7, told["id"]: 8}  # type: ignore[union-attr]  # they are


def test_what_becomes_of_commands_is_followed(telex: Telex, serving: str) -> None:
    telex("send", "report:build", "2026", "--key", "a", "--url", serving)
    telex("send", "report:print", "1", "--key", "b", "--url", serving)
    options = ("--since", "earliest", "--timeout", "20s", "--url", serving)
    ran = telex("follow", "report:*", "--count", "2", *options)
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first.partition(" ")[2] == 'report:build a done {"pages":2026,"attempt":1}'
    assert second.partition(" ")[2] == "report:print b failed OutOfPaper: no paper"
    lines = telex("follow", "report:build", "--progress", "--count", "2", "--json", *options).out.splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"progress", "outcome"}
    lines = telex("follow", "report:build", "--progress", "--count", "2", *options).out.splitlines()
    assert any(line.strip() == "report:build a  50% half" for line in lines)
    ran = telex("follow", "report:build", "--count", "2", "--timeout", "10ms", "--url", serving)
    assert (ran.code, ran.err) == (4, "telex: 0.01 s are over, and 2 of 2 have not come\n")
    assert telex("follow", "report:build", "--timeout", "10ms", "--url", serving) == (0, "", "")
    assert telex("follow", "a::b", "--url", serving).code == 2
    assert telex("follow", "a", "--since", "soon", "--url", serving).code == 2


def test_a_hole_is_told(telex: Telex, serving: str) -> None:
    with package.blocking.Hub(serving) as hub:
        hub.retain("$command:>", messages=1)
        for _ in range(3):
            hub.call("echo", 1)
        options = ("--since", "3", "--timeout", "20s", "--url", serving)
        assert "2 are lost" in telex("follow", "echo", "--count", "2", *options).err
        lost, _ = telex("follow", "echo", "--count", "2", "--json", *options).out.splitlines()
        assert json.loads(lost)["lost"]["count"] == 2


# -- what is recorded


def test_a_record_is_shown(telex: Telex, serving: str) -> None:
    telex("send", "report:build", "2026", "--key", "a", "--url", serving)
    telex("send", "report:print", "1", "--key", "b", "--url", serving)
    lines = telex("once", "show", "report:build", "a", "--url", serving).out.splitlines()
    assert lines[:2] == ["report:build a: done, attempt 1", 'result     {"pages":2026,"attempt":1}']
    assert [line.split()[0] for line in lines[2:]] == ["completed", "kept"]
    told = json.loads(telex("once", "show", "report:build", "a", "--json", "--url", serving).out)
    assert (told["state"], told["result"], told["key"]) == ("done", {"pages": 2026, "attempt": 1}, "a")
    assert (
        "error      OutOfPaper (out_of_paper): no paper"
        in telex("once", "show", "report:print", "b", "-u", serving).out
    )
    none = telex("once", "show", "report:build", "z", "--url", serving)
    assert (none.code, none.out) == (1, "")
    assert "there is no record of report:build z" in none.err


def test_large_results_are_shown_and_forgotten(telex: Telex, url: str) -> None:
    hub = package.blocking.Hub(url)

    @hub.command("large", once=True)
    def large(size: int) -> str:
        return "x" * size

    def kept() -> int:
        async def count() -> int:
            async with package.Hub(url) as again:
                return len(await records_of(again).keys(RESULTS_BUCKET))

        return asyncio.run(count())

    with hub:
        hub.call("large", 300_000, key="a")
    assert kept() == 2  # the record's, and that of the outcome that was told
    assert len(telex("once", "show", "large", "a", "--url", url).out) > 300_000
    assert telex("once", "forget", "large", "a", "--url", url).code == 0
    assert kept() == 1


def test_what_is_forgotten_runs_again(telex: Telex, serving: str) -> None:
    def send() -> bool:
        replayed: bool = json.loads(telex("send", "report:build", "1", "--key", "a", "--json", "-u", serving).out)[
            "replayed"
        ]
        return replayed

    telex("send", "report:build", "1", "--key", "a", "--url", serving)
    assert send()
    ran = telex("once", "forget", "report:build", "a", "--yes", "--url", serving)
    assert (ran.code, ran.out) == (0, "report:build a is forgotten: the same key will run the command again\n")
    assert "replayed" not in telex("send", "report:build", "1", "--key", "a", "--json", "-u", serving).out
    assert telex("once", "forget", "report:build", "z", "--yes", "--url", serving).code == 1


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0), ("", 1)])
def test_on_a_terminal_it_asks(
    telex: Telex, serving: str, begun: threading.Event, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    telex("send", "wait", "--key", "a", "--no-wait", "--url", serving)
    assert begun.wait(10)
    assert telex("once", "show", "wait", "a", "--url", serving).out.splitlines()[0] == "wait a: running, attempt 1"
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    ran = telex("once", "forget", "wait", "a", "--url", serving)
    assert ran.code == code
    assert "Its outcome will be refused" in ran.err
    assert "The same key will run the command again" in ran.err
    assert (telex("once", "show", "wait", "a", "--url", serving).code == 1) is (code == 0)


# -- by HTTP


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


def test_by_http_the_time_is_over(telex: Telex, gate: threading.Event) -> None:
    with server(gate) as place:
        assert telex("send", "wait", "--key", "a", "--timeout", "50ms", "--server", place).code == 4


def test_servers_that_are_none(telex: Telex) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert telex("send", "echo", "--timeout", "10ms", "--server", silent).code == 4
    assert telex("send", "echo", "--server", silent).code == 3
    for wrong in ("ftp://x", "http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:0"):
        ran = telex("send", "echo", "--server", wrong)
        assert (ran.code, "http://127.0.0.1:8000/commands" in ran.err) == (2, True)


# -- the bar


def test_the_bar_is_for_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Bar("report") as bar:
        bar.update(0.5, "half")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bar("report") as bar:
        bar.update(0.5, "[red]half\x1b[2J")
    told = capsys.readouterr()
    assert "report  [red]half [2J" in told.err
    assert "50%" in told.err
    assert told.out == ""
