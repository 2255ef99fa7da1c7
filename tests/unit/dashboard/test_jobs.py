"""The commands that the page shows: which, how many of each state, and how often they are read."""

import pytest

import telex
from telex.dashboard.jobs import MAX_TEXT, JobReader, short
from tests.unit.commands.parts import Gate


async def test_running_failed_and_waiting_commands_are_read_with_their_content(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("ship", concurrency=1)
    async def ship(number: int) -> None:
        if number < 0:
            raise telex.CommandError("none left" + "!" * MAX_TEXT, code="sold_out")
        await gate.pass_through()

    async with hub:
        await (await hub.send("ship", -1)).outcome(timeout=5)
        running = await hub.send("ship", 1, key="order-7")
        await gate.reached.wait()
        for number in (2, 3, 4):
            await hub.send("ship", number)
        await hub.send("bill", "x" * 100_000, delay="1h")
        jobs, more = await JobReader(hub, most=2).read()
        assert [(job.command, job.state, job.content, job.attempt) for job in jobs] == [
            ("ship", "running", "1", 1),
            ("ship", "failed", "-1", 1),
            ("ship", "queued", "4", 0),
            ("ship", "queued", "3", 0),
            ("bill", "delayed", "100,002 bytes" if url == "memory://" else None, 0),
        ]
        assert more == ["queued"]
        assert (jobs[0].id, jobs[0].key) == (running.id, "order-7")
        assert jobs[1].error.startswith("CommandError: none left!")
        assert len(jobs[1].error) == MAX_TEXT
        assert all(job.since is not None for job in jobs)
        gate.opened.set()


async def test_commands_are_listed_again_after_a_time_that_the_last_listing_decides() -> None:
    times = list[float]()
    async with telex.Hub() as hub:
        reader = JobReader(hub, clock=lambda: times.pop(0))

        async def number(*at: float) -> int:
            times.extend(at)
            return len((await reader.read())[0])

        assert await number(100.0, 103.0) == 0  # it took three seconds
        await hub.send("ship", 1)
        assert await number(132.9) == 0
        assert await number(133.1, 133.1) == 1
        await hub.send("ship", 2)
        assert await number(133.1, 136.1) == 2
        await hub.send("ship", 3)
        assert await number(137.0) == 2
        reader.forget()
        assert await number(138.0, 138.0) == 3
    assert times == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"a": "é"}, '{"a":"é"}'),
        ("x" * (MAX_TEXT - 2), '"' + "x" * (MAX_TEXT - 2) + '"'),
        ("x" * MAX_TEXT, '"' + "x" * (MAX_TEXT - 2) + "…"),
        (object, "<class 'object'>"),
    ],
)
def test_content_is_shortened(content: object, text: str) -> None:
    assert short(content) == text
