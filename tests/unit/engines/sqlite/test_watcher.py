"""The thread that notices what other processes commit."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.engines.sqlite.hubs import at, hub_on

WITHIN = 0.02
"""Seconds in which another process is to see what was committed."""


OTHER = """
import asyncio, sys, time, telex

async def main():
    async with telex.Hub(sys.argv[1]) as hub:
        topic = hub.topic("t")
        print("ready", flush=True)
        for line in sys.stdin:
            message = await topic.publish(float(line))
            print(time.time(), flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_another_process_is_heard_of_within_20_ms_and_waiting_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    late = []
    async with hub_on(path) as (hub, _), hub.topic("t").subscribe() as inbox:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, at(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdin is not None
        assert other.stdout is not None
        assert await other.stdout.readline() == b"ready\n"
        for number in range(9):
            await asyncio.sleep(0.12)  # until the watcher sleeps, as it does when nothing comes
            other.stdin.write(f"{number}\n".encode())
            assert (await inbox.receive(timeout=5)).content == number
            heard = time.time()
            late.append(heard - float(await other.stdout.readline()))
        other.stdin.close()
        await other.wait()
        other._transport.close()  # type: ignore[attr-defined]  # else its pipes are collected unclosed
        before = time.process_time()
        await asyncio.sleep(1)
        idle = time.process_time() - before
    late.sort()
    print(f"heard after {late[4]:.4f} s, at most {late[-1]:.4f} s; idle {idle:.2%} of a core")
    assert late[4] < WITHIN, "the median, since this machine may be busy"
    assert idle < 0.01
