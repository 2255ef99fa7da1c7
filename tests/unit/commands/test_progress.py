"""Reports of progress: at most one in an interval, the last one always."""

import asyncio

import pytest

import telex
from telex.commands.progress import MIN_INTERVAL_SECONDS, ProgressThrottle
from tests.support.internals import transport_of
from tests.support.shell import Clock
from tests.unit.commands.parts import Gate


async def test_progress_is_seen_by_sender_and_followers(url: str) -> None:
    hub = telex.Hub(url)
    told, go_on = asyncio.Event(), asyncio.Event()

    @hub.command("build")
    async def build(name: str, ctx: telex.CommandContext[str]) -> str:
        ctx.progress(0.4, "reading")
        told.set()
        await go_on.wait()
        return name

    async with hub, hub.follow("build", progress=True) as follower:
        ticket = await hub.send("build", "a")
        seen = []
        async for step in ticket.progress():
            seen.append((step.fraction, step.text))
            go_on.set()
        assert seen == [(0.4, "reading")]
        heard = await follower.receive(timeout=20)
        assert isinstance(heard, telex.Progress)
        assert (heard.command, heard.id, heard.fraction) == ("build", ticket.id, 0.4)
        outcome = await follower.receive(timeout=20)
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.id, outcome.result) == (ticket.id, "a")


async def test_the_timer_of_progress_ends_with_a_command_that_is_cancelled(file: str, gate: Gate) -> None:
    hub = telex.Hub(file, close_timeout=0)
    pace = None

    @hub.command("build")
    async def build(ctx: telex.CommandContext[None]) -> None:
        nonlocal pace
        ctx.progress(0.5)
        transport = transport_of(hub)
        assert transport is not None
        (run,) = transport.worker.invocations.values()
        pace = run.throttle
        await gate.pass_through()

    async with hub:
        await hub.send("build")
        await gate.reached.wait()
        assert pace is not None
        assert pace.timer is not None
    assert pace.timer is None


async def test_the_last_step_is_told_before_the_outcome(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build")
    async def build(ctx: telex.CommandContext[None]) -> None:
        with pytest.raises(telex.BadOption, match="from 0 to 1"):
            ctx.progress("40%")  # type: ignore[arg-type]  # the mistake
        ctx.progress(0.5)
        await asyncio.sleep(0)
        ctx.progress(1, "all")

    async with hub, hub.follow("build", progress=True) as follower:
        await hub.call("build")
        heard = [await follower.receive(timeout=20) for _ in range(3)]
    assert [type(each) for each in heard] == [telex.Progress, telex.Progress, telex.Outcome]
    assert isinstance(heard[1], telex.Progress)
    assert heard[1].text == "all"


class Published:
    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.fails = False

    def __call__(self, step: telex.Progress) -> None:
        if self.fails:
            raise telex.EngineFailed("publishing", "the disk is full")
        self.fractions.append(step.fraction)


def step(fraction: float) -> telex.Progress:
    return telex.Progress("build", "1", None, fraction, "")


async def test_of_many_reports_the_first_and_the_last_of_an_interval_are_published() -> None:
    clock, published = Clock(), Published()
    throttle = ProgressThrottle(published)
    for fraction in (0.1, 0.2, 0.3):
        throttle.report(step(fraction))
    assert published.fractions == [0.1]
    await clock.forward(MIN_INTERVAL_SECONDS)
    assert published.fractions == [0.1, 0.3]
    throttle.report(step(0.4))
    assert published.fractions == [0.1, 0.3], "the interval of the last one is not over"
    await clock.forward(MIN_INTERVAL_SECONDS)
    assert published.fractions == [0.1, 0.3, 0.4]
    await clock.forward(MIN_INTERVAL_SECONDS)
    assert throttle.timer is None
    throttle.report(step(0.5))
    assert published.fractions == [0.1, 0.3, 0.4, 0.5]
    throttle.close()


async def test_closing_gives_the_report_that_was_not_published() -> None:
    published = Published()
    throttle = ProgressThrottle(published)
    assert throttle.close() is None
    throttle.report(step(0.1))
    throttle.report(step(0.2))
    assert throttle.close() == step(0.2)
    assert throttle.timer is None
    assert throttle.close() is None
    assert published.fractions == [0.1]


async def test_a_report_that_cannot_be_published_is_logged_and_the_next_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, published = Clock(), Published()
    throttle = ProgressThrottle(published)
    published.fails = True
    throttle.report(step(0.1))
    published.fails = False
    throttle.report(step(0.2))
    await clock.forward(MIN_INTERVAL_SECONDS)
    assert published.fractions == [0.2]
    assert "the progress of command build 1 was not published" in caplog.text
    throttle.close()
