"""Commands by HTTP: keys, repeats, waiting, problems, and what is not let in."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import telex
from telex.gateway import AccessRules, Commands, Limits
from telex.gateway.commands import Problem, key_of, preference, problem_for
from telex.hub import dispatcher_of
from tests.support.loops import idle


class Month(msgspec.Struct):
    year: int


class OutOfPaper(telex.CommandError):
    code = "out_of_paper"


class Site:
    """A hub with commands behind an app, and a client of it."""

    def __init__(self, limits: Limits, peer: str) -> None:
        self.hub = telex.Hub()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.ran: list[int] = []
        rules = AccessRules(call=("report:*", "plain"))
        commands = Commands(self.hub, rules=rules, limits=limits, origins=["https://ours"], local=True)
        app = Starlette(routes=[Mount("/commands", commands)])
        transport = httpx.ASGITransport(app, client=(peer, 1))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

        @self.hub.command("report:build", once=True)
        async def build(month: Month) -> dict[str, int]:
            self.ran.append(month.year)
            return {"pages": month.year}

        @self.hub.command("report:slow", once=True)
        async def slow(number: int, ctx: telex.CommandContext[int]) -> int:
            ctx.progress(0.5, "half")
            self.reached.set()
            await self.go_on.wait()
            return number

        @self.hub.command("report:fails", once=True, backoff=0.0)
        async def fails(kind: str) -> None:
            if kind == "paper":
                raise OutOfPaper("no paper", data={"tray": 2})
            raise ZeroDivisionError("by zero")

        @self.hub.command("plain")
        async def plain(number: int) -> int:
            return number + 1

        @self.hub.command("report:odd")
        async def odd() -> object:
            return object()

        @self.hub.command("report:wrong")
        async def wrong() -> int:
            return "text"  # type: ignore[return-value]  # that is what is wrong

        @self.hub.command("secret")
        async def secret() -> None: ...

    async def post(self, name: str, content: object, key: str | None = None, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["idempotency-key"] = key
        return await self.client.post(f"/commands/{name}", json=content, headers=given)


@asynccontextmanager
async def site(limits: Limits | None = None, peer: str = "127.0.0.1") -> AsyncIterator[Site]:
    found = Site(limits or Limits(), peer)
    async with found.hub, found.client:
        yield found


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == response.status_code
    assert told["title"]
    assert told["detail"]
    # Who sends by HTTP knows of headers and content, and not of topics and of what Python calls options.
    assert not re.search(r"\btopic|publish|\w=[.'\w]|hub\b", told["detail"]), told["detail"]
    return told


async def test_carried_out_then_replayed() -> None:
    async with site() as on:
        for status, replayed in ((201, None), (200, "true"), (200, "true")):
            response = await on.post("report:build", {"year": 2026}, '"november"')
            assert response.status_code == status
            assert response.json() == {"pages": 2026}
            assert response.headers.get("idempotent-replayed") == replayed
        assert on.ran == [2026]


async def test_a_plain_command_needs_no_key() -> None:
    async with site() as on:
        response = await on.post("plain", 1)
        assert (response.status_code, response.json()) == (200, 2)


async def test_a_wrong_key_is_a_problem_that_says_why() -> None:
    async with site() as on:
        missing = await on.post("report:build", {"year": 2026})
        assert missing.status_code == 400
        assert problem(missing)["type"] == "urn:telex:idempotency-key-needed"
        assert problem(missing)["detail"].endswith("give the key in the header Idempotency-Key")
        for key in ('""', '"', "a b", '"' + "x" * 256 + '"'):
            assert problem(await on.post("report:build", {"year": 1}, key))["type"] == "urn:telex:bad-idempotency-key"
        assert (await on.post("report:build", {"year": 1}, "a")).status_code == 201
        other = await on.post("report:build", {"year": 2}, "a")
        assert (other.status_code, problem(other)["type"]) == (422, "urn:telex:key-conflict")
        assert on.ran == [1]


async def test_running_already() -> None:
    async with site() as on:
        first = asyncio.create_task(on.post("report:slow", 1, "a"))
        await on.reached.wait()
        second = await on.post("report:slow", 1, "a")
        assert (second.status_code, problem(second)["type"]) == (409, "urn:telex:in-progress")
        assert "repeat the request later" in problem(second)["detail"]
        assert second.headers["retry-after"] == "1"
        on.go_on.set()
        assert (await first).status_code == 201
        assert (await on.post("report:slow", 1, "a")).status_code == 200


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_not_waiting(prefer: str) -> None:
    async with site() as on:
        accepted = await on.post("report:slow", 7, "a", prefer=prefer)
        assert accepted.status_code == 202
        assert accepted.headers.get("preference-applied") == ("respond-async" if prefer == "respond-async" else None)
        where = accepted.headers["location"]
        assert where.startswith("/commands/report:slow/outcomes/")
        await on.reached.wait()
        running = await on.client.get(where)
        assert (running.status_code, running.json()["progress"], running.json()["text"]) == (202, 0.5, "half")
        on.go_on.set()
        assert (await on.post("report:slow", 7, "a", prefer="wait=30")).status_code in (200, 409)
        async with on.hub.follow("report:slow", start="earliest") as follower:
            await follower.receive(timeout=20)
        done = await on.client.get(where)
        assert (done.status_code, done.json()) == (200, 7)
        assert (await on.client.get(where + "x")).status_code == 404
        assert (await on.client.post(where)).status_code == 405


async def test_errors_are_problems() -> None:
    async with site() as on:
        for replayed in (None, "true"):
            response = await on.post("report:fails", "paper", "a")
            assert response.status_code == 422
            told = problem(response)
            assert (told["code"], told["raised"], told["data"]) == ("out_of_paper", "OutOfPaper", {"tray": 2})
            assert response.headers.get("idempotent-replayed") == replayed
        response = await on.post("report:fails", "else", "b")
        assert (response.status_code, problem(response)["code"]) == (500, "attempts_exhausted")
        assert "zero" not in response.text.lower(), "nobody meant to raise this, and its text is the server's"
        refused = await on.post("report:build", {"year": "x"}, "c")
        assert (refused.status_code, problem(refused)["path"]) == (422, "$.year")


async def test_a_missing_command_or_path_is_not_found() -> None:
    async with site() as on:
        assert problem(await on.post("secret", None))["type"] == "urn:telex:not-found", "it is not in the rules"
        assert problem(await on.post("report:none", None, "a"))["type"] == "urn:telex:no-handler"
        assert (await on.client.get("/commands/plain")).status_code == 405
        assert (await on.client.post("/commands/plain/else")).status_code == 404
        assert (await on.client.post("/commands/")).status_code == 404


async def test_bodies() -> None:
    async with site(Limits(body_bytes=100)) as on:
        headers = {"content-type": "application/json"}
        assert (await on.client.post("/commands/plain", content=b"{", headers=headers)).status_code == 400
        assert (await on.client.post("/commands/plain", content=b"1" * 101, headers=headers)).status_code == 413
        for body in (b"[" * 50 + b"]" * 49, b'"\xff"'):
            assert (await on.client.post("/commands/plain", content=body, headers=headers)).status_code == 400
        kind = {"content-type": "text/plain"}
        assert (await on.client.post("/commands/plain", content=b"1", headers=kind)).status_code == 415


async def test_a_body_that_is_nested_too_deep() -> None:
    async with site() as on:
        response = await on.client.post("/commands/plain", content=b"[" * 100_000 + b"]" * 100_000)
        assert (response.status_code, problem(response)["type"]) == (400, "urn:telex:malformed")


async def test_a_result_that_cannot_be_sent() -> None:
    async with site() as on:
        for name in ("report:odd", "report:wrong"):
            response = await on.post(name, None)
            assert (response.status_code, problem(response)["code"]) == (500, "result_refused")


async def test_a_hub_that_is_not_open() -> None:
    on = Site(Limits(), "127.0.0.1")
    async with on.client:
        before = await on.post("plain", 1)
        async with on.hub:
            assert (await on.post("plain", 1)).status_code == 200
        after = await on.post("plain", 1)
    for response in (before, after):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert problem(response)["type"] == "urn:telex:unavailable"


async def test_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as on:
        monkeypatch.setattr(dispatcher_of(on.hub), "is_full", lambda name: name == "plain")
        response = await on.post("plain", 1)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert problem(response)["type"] == "urn:telex:too-many-at-once"


async def test_an_outcome_is_for_those_who_know_where_it_is() -> None:
    async with site() as on:
        accepted = await on.post("report:slow", 7, "a", prefer="respond-async")
        where = accepted.headers["location"]
        id = accepted.json()["id"]
        assert id in where
        assert (await on.client.get(f"/commands/report:slow/outcomes/{id}")).status_code == 404
        assert (await on.client.get(where.replace("report:slow", "plain"))).status_code == 404
        assert (await on.client.get(where)).status_code == 202
        on.go_on.set()


async def test_another_page_or_machine_is_not_let_in() -> None:
    async with site() as on:
        assert (await on.post("plain", 1, origin="https://evil")).status_code == 403
        assert (await on.post("plain", 1, origin="https://ours")).status_code == 200
        assert (await on.post("plain", 1, host="evil.example")).status_code == 403
    async with site(peer="192.0.2.7") as on:
        assert problem(await on.post("plain", 1))["type"] == "urn:telex:forbidden", "another machine says its Origin"


async def test_too_many_at_once() -> None:
    async with site(Limits(requests=1)) as on:
        first = asyncio.create_task(on.post("report:slow", 1, "a"))
        await on.reached.wait()
        second = await on.post("plain", 1)
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        on.go_on.set()
        assert (await first).status_code == 201
        assert (await on.post("plain", 1)).status_code == 200


async def test_outcomes_to_look_at_are_bounded() -> None:
    async with site(Limits(outcomes=2)) as on:
        places = [
            (await on.post("report:slow", 1, f"k{n}", prefer="respond-async")).headers["location"] for n in (1, 2, 3)
        ]
        assert [(await on.client.get(where)).status_code for where in places] == [404, 202, 202]
        on.go_on.set()


def test_keys_and_preferences() -> None:
    assert key_of(None) is None
    assert key_of('"a \\"b\\" \\\\"') == 'a "b" \\'
    assert key_of("8e03978e-40d5-43dd-bc93-6894a57f9324") == "8e03978e-40d5-43dd-bc93-6894a57f9324"
    with pytest.raises(Problem):
        key_of('"a\n"')
    assert preference("", 30) == (False, 30)
    assert preference("respond-async, wait=10", 30) == (False, 10)
    assert preference("Respond-Async;x=1", 30) == (True, 30)
    assert preference("respond-async, wait=30", 30) == (False, 30)
    assert preference("respond-async, wait=99", 30) == (False, 30)
    assert preference("wait=100000", 30) == (False, 30)
    assert preference("wait=x", 30) == (False, 30)


def test_the_rules_do_not_open_what_is_telex_own() -> None:
    everything = AccessRules(publish=(">",), subscribe=("*:>",), call=(">",))
    assert not everything.may_publish("$command:charge:request")
    assert not everything.may_subscribe("$command:charge:outcome")
    assert everything.may_call("charge")


async def test_a_body_that_never_comes_holds_nothing() -> None:
    async with site(Limits(requests=1, operation_timeout=0.05)) as on:
        started = asyncio.Event()

        async def never() -> AsyncIterator[bytes]:
            started.set()
            yield b"1"
            await asyncio.Event().wait()

        silent = asyncio.create_task(on.client.post("/commands/plain", content=never()))
        await started.wait()
        assert (await on.post("plain", 1)).status_code == 200
        assert (await silent).status_code == 408


async def test_a_server_that_stops_says_that_it_does_not_know() -> None:
    async with site() as on:
        on.hub.close_timeout = 0.05
        posting = asyncio.create_task(on.post("report:slow", 1, "a"))
        await on.reached.wait()
        accepted = await on.post("report:slow", 2, "b", prefer="respond-async")
        await on.hub.aclose()
        assert problem(await posting)["type"] == "urn:telex:outcome-unknown"
        assert problem(await on.client.get(accepted.headers["location"]))["type"] == "urn:telex:outcome-unknown"


def test_a_wait_that_is_no_number() -> None:
    assert preference("wait=\u00b2", 30) == (False, 30)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (telex.BadOption("key", None, "it runs once"), "idempotency-key-needed"),
        (telex.BadOption("key", "x", "too long"), "malformed"),
        (telex.BadOption("content", None, "it is missing"), "malformed"),
        (telex.BadName("a b", "white space"), "malformed"),
    ],
)
def test_only_a_missing_key_asks_for_one(error: telex.TelexError, kind: str) -> None:
    problem = problem_for(error, "build")
    assert problem.status == 400
    assert kind in problem.body.decode()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (telex.NoHandler("build"), 404),
        (telex.KeyConflict("build", "a"), 422),
        (telex.InProgress("build", "a"), 409),
        (telex.ContentError("build", "no number"), 422),
        (telex.Closed("this hub", "it was closed"), 503),
        (telex.EngineFailed("writing", "the disk is full"), 503),
    ],
)
def test_each_error_has_its_status(error: telex.TelexError, status: int) -> None:
    assert problem_for(error, "build").status == status


CALLABLE = AccessRules(call=(">",))


class Sent:
    """A body that counts the parts that were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [*parts]
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}


async def post(app: Commands, body: Sent, *headers: tuple[str, str]) -> int:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope: dict[str, Any] = {"type": "http", "path": "/c", "method": "POST", "client": ("127.0.0.1", 1)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in (("host", "127.0.0.1"), *headers)]
    await app(scope, body.receive, send)
    status: int = said[0]["status"]
    return status


async def test_a_body_is_refused_before_it_is_read() -> None:
    async with telex.Hub() as hub:
        app = Commands(hub, rules=CALLABLE, limits=Limits(body_bytes=100))
        for length in ("101", "9" * 30):
            body = Sent(b"1" * 101)
            assert (await post(app, body, ("content-length", length)), body.asked) == (413, 0)
        # Without a length, no more than the part that is too much is read.
        body = Sent(b"1" * 60, b"1" * 60, b"1" * 60, b"1")
        assert (await post(app, body), body.asked) == (413, 2)


async def test_all_bodies_together_are_bounded() -> None:
    async with telex.Hub() as hub:
        app = Commands(hub, rules=CALLABLE, limits=Limits(body_bytes=100))
        go_on = asyncio.Event()

        class Slow(Sent):
            async def receive(self) -> dict[str, Any]:
                if self.asked:
                    await go_on.wait()
                return await super().receive()

        slow = [asyncio.create_task(post(app, Slow(b"1" * 90, b"1"))) for _ in range(71)]
        await idle()
        assert await post(app, Sent(b"1" * 90)) == 503
        go_on.set()
        assert await asyncio.gather(*slow) == [404] * 71
        assert await post(app, Sent(b"1" * 90)) == 404


JSON = [("content-type", "application/json")]


async def test_a_command_is_waited_for_no_longer_than_command_timeout() -> None:
    hub = telex.Hub()
    go_on = asyncio.Event()

    @hub.command("c")
    async def wait() -> int:
        await go_on.wait()
        return 1

    async with hub:
        transport = httpx.ASGITransport(Commands(hub, rules=CALLABLE, limits=Limits(command_timeout=0.02)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            answer = await client.post("/c", content=b"null", headers=JSON)
            assert answer.status_code == 202
            go_on.set()


async def test_the_trace_of_a_request_goes_into_the_messages_of_its_command() -> None:
    hub = telex.Hub()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @hub.command("build")
    def build(context: telex.CommandContext[None]) -> dict[str, str]:
        return dict(context.message.headers)

    transport = httpx.ASGITransport(Commands(hub, rules=AccessRules(call=("build",))), client=("127.0.0.1", 1))
    async with hub, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        sent = {"Traceparent": parent, "Correlation-Id": "order 7", "Cookie": "mine"}
        answer = await client.post("/build", headers=sent)
        assert answer.json() == {"traceparent": parent, "correlation-id": "order 7"}
        assert (await client.post("/build")).json() == {}
