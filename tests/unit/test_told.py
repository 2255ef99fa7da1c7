"""Every error of a program is recorded and reported as that error, whatever its text is."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import telex
from telex.commands.outcome import failure_of
from telex.errors import shown, text_of
from telex.gateway import AccessRules, Commands

NAME = "caf\udce9.txt"
"""A file name as os.listdir gives it when it is not UTF-8."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Bare(telex.CommandError):
    """One that forgets to call `CommandError.__init__`."""

    code = 404  # type: ignore[assignment]  # on purpose

    def __init__(self) -> None:
        Exception.__init__(self, "gone", NAME)


def chained() -> Exception:
    error = telex.CommandError("the last", code="last")
    error.__cause__ = Mute()
    error.__context__ = ValueError(NAME)
    error.add_note(NAME)
    return error


RAISED: tuple[tuple[str, Callable[[], Exception], tuple[str, str, str]], ...] = (
    ("surrogate", lambda: ValueError(NAME), ("ValueError", "error", r"caf\udce9.txt")),
    ("mute", Mute, ("Mute", "error", "<Mute whose str() raises RuntimeError>")),
    ("chained", chained, ("CommandError", "last", "the last")),
    ("bare", Bare, ("Bare", "404", r"gone caf\udce9.txt")),
    (
        "no-text",
        lambda: telex.CommandError(Path("a"), code=7),  # type: ignore[arg-type]  # on purpose
        ("CommandError", "7", "a"),
    ),
    (
        "data",
        lambda: telex.CommandError("x", data={"at": Mute(), NAME: float("nan")}),
        ("CommandError", "failed", "x"),
    ),
    ("group", lambda: ExceptionGroup(NAME, [Mute()]), ("ExceptionGroup", "error", r"caf\udce9.txt (1 sub-exception)")),
)


def told(error: telex.CommandFailed) -> tuple[str, str, str]:
    return error.type, error.code, error.message


@pytest.mark.parametrize("where", ["memory", "sqlite"])
@pytest.mark.slow
async def test_a_command_fails_with_the_error_that_its_handler_raised(where: str, tmp_path: Path) -> None:
    hub = telex.Hub("memory://" if where == "memory" else f"sqlite:///{tmp_path}/a.db", close_timeout=5)
    runs: dict[str, int] = {}

    def declare(name: str, make: Callable[[], Exception], *, once: bool) -> None:
        async def fail(value: int) -> None:
            runs[name] = runs.get(name, 0) + 1
            raise make()

        hub.command(name, once=once, max_attempts=1 if once else None, run_in="loop")(fail)

    for name, make, _ in RAISED:
        declare(f"plain:{name}", make, once=False)
        declare(f"once:{name}", make, once=True)
    rules = AccessRules(call=(">",))
    async with (
        hub,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(Commands(hub, rules=rules)), base_url="http://127.0.0.1:8000"
        ) as client,
    ):
        for name, _, expected in RAISED:
            with pytest.raises(telex.CommandFailed) as first:
                await hub.call(f"plain:{name}", 1, timeout=20)
            assert told(first.value) == expected
            for _ in range(2):
                with pytest.raises(telex.CommandFailed) as again:
                    await hub.call(f"once:{name}", 1, key="k", timeout=20)
                last = told(again.value)
                assert last[0] == expected[0]
                assert last[1:] == expected[1:] or last[2].endswith(f"{expected[0]}: {expected[2]}")
            assert runs[f"once:{name}"] == 1
            answer = await client.post(f"/plain:{name}", json=1)
            assert answer.status_code in (422, 500)
            assert answer.json()["code"] == expected[1]


def test_data_without_a_json_form_is_told_as_text() -> None:
    assert failure_of(telex.CommandError("x", data=(1, {"a"}))).data == [1, ["a"]]
    assert failure_of(telex.CommandError("x", data=Mute())).data == "<Mute whose repr() raises RuntimeError>"
    assert failure_of(telex.CommandError("x", data=NAME)).data == r"'caf\udce9.txt'"
    assert text_of(telex.CommandError(5)) == "5"  # type: ignore[arg-type]  # on purpose
    assert shown(NAME) == r"'caf\udce9.txt'"


async def test_any_text_of_a_progress_is_told(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/a.db", close_timeout=5)
    runs: list[int] = []

    @hub.command("scan")
    async def scan(value: int, ctx: telex.CommandContext[int]) -> str:
        runs.append(value)
        for part, text in enumerate((NAME, Mute(), Path("a")), 1):
            ctx.progress(part / 3, text)  # type: ignore[arg-type]  # on purpose
        return "done"

    async with hub, hub.follow("scan", progress=True) as follower:
        assert await hub.call("scan", 1, timeout=20) == "done"
        heard: Any = [await follower.receive(timeout=20) for _ in range(2)]
    assert heard[0].text in (r"caf\udce9.txt", "a")
    assert (runs, heard[-1].result if isinstance(heard[-1], telex.Outcome) else "done") == ([1], "done")


@pytest.mark.parametrize("where", ["memory", "sqlite"])
async def test_no_reason_keeps_others_from_being_settled(where: str, tmp_path: Path) -> None:
    hub = telex.Hub("memory://" if where == "memory" else f"sqlite:///{tmp_path}/a.db", close_timeout=5)
    reasons: tuple[Any, ...] = (telex.Reject(NAME), telex.Reject(Mute()), telex.Reject(5), ValueError(NAME), Mute())  # type: ignore[arg-type]  # on purpose
    handled: list[int] = []
    done = asyncio.Event()

    @hub.on("t", group="g", concurrency=4, retry=telex.Retry(attempts=1))
    async def take(number: int, ctx: telex.Context[int]) -> None:
        if number == 0:
            await ctx.reject(Mute())  # type: ignore[arg-type]  # on purpose
        elif number <= len(reasons):
            raise reasons[number - 1]
        else:
            handled.append(number)
            if len(handled) == len(reasons) - 1:
                done.set()

    async with hub:
        for number in range(2 * len(reasons)):
            await hub.topic("t").publish(number)
        async with hub.topic("dead:g").subscribe(start="earliest") as buried:
            for _ in range(len(reasons) + 1):
                await buried.receive(timeout=20)
        async with asyncio.timeout(20):
            await done.wait()
    async with telex.Hub(hub.url) as again:
        dead = {letter.message.content: letter.reason for letter in await again.groups.dead("g")}
    assert sorted(handled) == list(range(len(reasons) + 1, 2 * len(reasons)))
    if where == "sqlite":
        silent = "<Mute whose str() raises RuntimeError>"
        odd = r"caf\udce9.txt"
        assert dead == {0: silent, 1: odd, 2: silent, 3: "5", 4: f"ValueError: {odd}", 5: f"Mute: {silent}"}
