"""A stream whose worker is killed: its reader hears of it, and gets every part of the next attempt."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import telex

pytestmark = pytest.mark.slow


def worker(url: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.stream_worker", url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


async def test_a_stream_begins_again_after_its_worker_was_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/stream.db"
    first = await asyncio.to_thread(worker, url)
    second = None
    try:
        async with telex.Hub(url) as hub:
            stream, parts = hub.stream("count", 3, type=str), []
            async for part in stream:
                parts.append(part.content)
                if len(parts) == 3:
                    first.kill()
                    break
            second = await asyncio.to_thread(worker, url)
            with pytest.raises(telex.StreamRestarted, match="attempt 2"):
                parts += [part.content async for part in stream]
            assert parts == ["1:0", "1:1", "1:2"]
            assert stream.attempt == 2
            assert [part.content async for part in stream] == ["2:0", "2:1", "2:2"]
            assert stream.ticket is not None
            assert await stream.ticket.result(timeout=20) == 3
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait(20)
                assert process.stdout is not None
                process.stdout.close()
