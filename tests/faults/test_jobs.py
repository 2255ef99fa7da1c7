"""A command whose worker is killed: it runs again unless its outcome was published, and has one outcome."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import telex
from tests.support.internals import groups_of

pytestmark = pytest.mark.slow


def worker(url: str, *plan: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.jobs_worker", url, *plan], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


async def test_a_command_whose_worker_was_killed_runs_again_and_has_one_outcome(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    processes = [await asyncio.to_thread(worker, url)]
    try:
        async with telex.Hub(url) as hub, hub.follow("pack") as outcomes, asyncio.timeout(40):
            sent = await hub.send("pack", "cup")
            assert processes[0].stdout is not None
            assert await asyncio.to_thread(processes[0].stdout.readline) == b"begun\n"
            while [job.state for job in await hub.commands()] != ["running"]:  # with the next heartbeat
                pass
            processes[0].kill()
            processes.append(await asyncio.to_thread(worker, url))
            async with telex.Hub(url) as other:
                assert await (await other.ticket(sent.id)).result() == "cup, attempt 2"
                assert [(job.state, job.attempt) for job in await other.commands()] == [("done", 2)]
            outcome = await outcomes.receive()
            assert isinstance(outcome, telex.Outcome)
            assert outcome.attempt == 2
            with pytest.raises(telex.Timeout):
                await outcomes.receive(timeout=0)
    finally:
        for process in processes:
            process.kill()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


async def test_a_command_whose_worker_was_killed_after_its_outcome_is_not_run_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    processes = [await asyncio.to_thread(worker, url, "dies")]
    try:
        async with telex.Hub(url) as hub, hub.follow("ship") as outcomes, asyncio.timeout(40):
            assert await hub.call("ship", "cup") == "cup"
            await asyncio.to_thread(processes[0].wait)
            processes.append(await asyncio.to_thread(worker, url))
            while any(info.lag for info in await groups_of(hub).groups()):  # until the lease has ended
                pass
            assert await hub.call("ship", "plate") == "plate"
            found = [await outcomes.receive(), await outcomes.receive()]
            assert [each.result for each in found if isinstance(each, telex.Outcome)] == ["cup", "plate"]
            processes[1].kill()
            assert processes[1].stdout is not None
            assert await asyncio.to_thread(processes[1].stdout.read) == b"shipped\n", "only the plate"
    finally:
        for process in processes:
            process.kill()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()
