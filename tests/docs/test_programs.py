"""The programs of the folder `examples`, as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Printed

EXAMPLES = Path(__file__).parents[2] / "examples"


def demo(name: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "demo"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=folder, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_a_message_is_charged_once_unless_its_worker_is_killed_after_the_charge(tmp_path: Path) -> None:
    told = demo("order_status.py", tmp_path)
    assert told.count("is killed with the command in its hands") == 2
    assert told.count("charged: 7 cents for 'Your order 1001") == 1
    assert told.count("charged: 7 cents for 'Your order 1002") == 2
    assert told.count("(attempt 2 carried out)") == 2
    assert told.count("(attempt 2 replayed)") == 8
    assert "Status(order='1001', status='shipped')" in told
    assert "unknown_order: there is no order 9999" in told


@pytest.mark.slow
def test_each_row_is_imported_once(tmp_path: Path) -> None:
    told = demo("batch_import.py", tmp_path)
    assert re.match(r"[1-3] workers killed", told), told  # the work may be done before the third
    assert told.endswith("2000 imported, 2000 of them different\n")


@pytest.mark.slow
def test_one_program_runs_unchanged_on_every_engine(engine_url: str, printed: Printed) -> None:
    for _ in range(1 if engine_url == "memory://" else 2):  # the second time on what the first one left
        assert printed(EXAMPLES / "any_engine.py", engine_url).splitlines() == [
            "heard: hello",
            "missed: ['are you there?', 'never mind']",
            "read again: ['are you there?', 'never mind']",
            "billed: [1, 2]",
            "sold out",
            "paid: {'700 cents paid, attempt 1'}",
            "followed: 700 cents paid, attempt 1",
            "closing time",
        ]


@pytest.mark.slow
def test_a_topic_that_becomes_message_pack_keeps_its_old_messages(engine_url: str, printed: Printed) -> None:
    run = printed(EXAMPLES / "content_types.py", engine_url)
    assert run.splitlines() == ["application/json 2 values", "application/msgpack 1000 values"]


@pytest.mark.slow
def test_a_message_its_handler_and_its_command_are_one_trace(engine_url: str, printed: Printed) -> None:
    assert printed(EXAMPLES / "tracing.py", engine_url).splitlines() == [
        "receipt: order 7 is paid",
        "send orders:web in the trace",
        "process orders:* in the trace",
        "send $command:bill:request in the trace",
        "process $command:bill:request in the trace",
    ]


@pytest.mark.slow
def test_schedules_are_added_changed_and_deleted(engine_url: str, printed: Printed) -> None:
    assert printed(EXAMPLES / "reminders.py", engine_url).splitlines() == [
        "tick: {'from': 'the schedule'}",
        "paused: ticks next: None",
        "ticks: every 50ms, ticks, ran: True",
        "weekly: every 50ms, report, ran: True",
    ]


@pytest.mark.slow
def test_sync_code_runs_in_threads_and_a_process_on_every_engine(engine_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "sync_code.py"), engine_url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    assert (run.returncode, run.stderr, run.stdout) == (0, "", "primes: [4, 25, 168]\n")


@pytest.mark.parametrize("name", ["order_status.py", "batch_import.py"])
def test_without_arguments_it_says_how(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode == 1
    assert f"python examples/{name} demo" in run.stderr
