"""``telex copy``: from one engine to another, once and live."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

import telex as library
from telex.blocking import Hub
from tests.unit.cli.conftest import Telex


def urls(tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path}/from.db", f"sqlite:///{tmp_path}/to.db"


def kept(url: str, pattern: str = "orders:*") -> list[tuple[object, ...]]:
    with Hub(url) as hub:
        every = [message for name in hub.topics(pattern) for message in hub.topic(name).history()]
    found = [message for message in every if isinstance(message, library.Message)]
    return [(m.topic, m.id, m.timestamp, m.key, dict(m.headers), m.content, m.type) for m in found]


def fill(url: str, count: int = 1200) -> None:
    with Hub(url) as hub:
        hub.retain(">", messages=10_000)
        with hub.transaction() as tx:
            for number in range(count):
                tx.publish(f"orders:{number % 3}", number, key=f"k{number}", headers={"n": str(number)})
        hub.topic("orders:bytes").publish(b"raw")


@pytest.mark.slow
def test_a_copy_keeps_ids_times_keys_and_order(telex: Telex, tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    fill(source)
    with Hub(target) as hub:
        hub.retain(">", messages=10_000)
    ran = telex("copy", source, target, "--once", "--json")
    assert (ran.code, json.loads(ran.out)) == (
        0,
        {"messages": 1201, "known": 0, "unreadable": 0, "groups": 0, "unfinished": [], "outside": []},
    )
    assert kept(target) == kept(source)
    again = telex("copy", source, target, "--once", "--json")
    assert json.loads(again.out)["known"] == 1201
    assert kept(target) == kept(source)


@pytest.mark.slow
def test_groups_begin_after_what_was_copied(telex: Telex, tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    handled = SimpleQueue[object]()

    def run(url: str, *contents: int) -> None:
        hub = Hub(url)
        hub.on("orders:*", group="billing", run_in="loop")(handled.put)
        with hub:
            for content in contents:
                hub.topic("orders:1").publish(content)
                assert handled.get(timeout=10) == content

    run(source, 1, 2)
    ran = telex("copy", source, target, "--once")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "2 messages copied; 1 group begins after them")
    run(target, 3)
    assert handled.empty()


@pytest.mark.slow
def test_a_group_that_is_behind_is_reported(telex: Telex, tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    hub = Hub(source)
    hub.on("orders:*", group="billing", run_in="loop")(print)
    with hub:
        hub.groups.pause("billing")
        hub.topic("orders:1").publish(1)
    ran = telex("copy", source, target, "--once", "--json")
    assert (ran.code, json.loads(ran.out)["unfinished"]) == (1, ["billing"])
    assert "billing on orders:* has 1 message left in FROM" in ran.err


@pytest.mark.slow
def test_a_group_that_also_reads_other_topics_is_not_created(telex: Telex, tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    hub = Hub(source)
    for pattern, group in (("orders:1", "one"), ("orders:*", "orders"), (">", "audit"), ("mails:*", "mails")):
        hub.on(pattern, group=group)(lambda content: None)
    with hub:
        hub.topic("orders:1").publish(1)
        hub.idle()
    ran = telex("copy", source, target, "orders:*", "--once", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["groups"], sorted(told["outside"])) == (0, 2, ["audit", "mails"])
    assert "group audit on > is not created in TO: it also reads topics outside of orders:*" in ran.err
    with Hub(target) as written:
        assert sorted(info.group for info in written.groups.list()) == ["one", "orders"]


@pytest.mark.slow
def test_messages_that_cannot_be_read_are_named_and_not_copied(tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    fill(source, 9)
    with closing(sqlite3.connect(f"{tmp_path}/from.db")) as connection, connection:
        connection.execute("UPDATE telex_messages SET content = '{' WHERE seq = 3")  # the last of three topics
    command = [sys.executable, "-m", "telex", "copy", source, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as copying:
        assert copying.stdout is not None
        assert copying.stderr is not None
        assert copying.stdout.readline() == "caught up: all 7 messages are in TO\n"
        with Hub(source) as hub:
            hub.topic("orders:0").publish("while it runs")
        assert copying.stdout.readline() == "caught up: all 8 messages are in TO\n"
        copying.send_signal(signal.SIGINT)
        assert copying.stdout.read() == "8 messages copied, 3 cannot be read; 0 groups begin after them\n"
        assert copying.wait(10) == 1
        said = [line for line in copying.stderr.read().splitlines() if "cannot be read" in line]
    assert said == [f"telex: orders:{n}: messages 3 to 3 cannot be read, and are not copied" for n in range(3)]


def test_one_engine_is_not_copied_to_itself(telex: Telex, tmp_path: Path) -> None:
    source, _ = urls(tmp_path)
    ran = telex("copy", source, source)
    assert (ran.code, "give two" in ran.err) == (2, True)


@pytest.mark.slow
def test_a_live_copy_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    fill(source, 10)
    command = [sys.executable, "-m", "telex", "copy", source, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as copying:
        assert copying.stdout is not None
        assert copying.stdout.readline() == "caught up: all 11 messages are in TO\n"
        with Hub(source) as hub:
            hub.topic("orders:0").publish("while it runs")
            hub.topic("orders:new").publish("a new topic")
        while copying.stdout.readline() != "caught up: all 13 messages are in TO\n":
            pass
        copying.send_signal(signal.SIGINT)
        assert copying.stdout.read() == "13 messages copied; 0 groups begin after them\n"
        assert copying.wait(10) == 0
    assert kept(target) == kept(source)


@pytest.mark.slow
def test_a_group_of_an_earlier_copy_that_has_messages_left_is_reported(telex: Telex, tmp_path: Path) -> None:
    source, target = urls(tmp_path)
    hub = Hub(source)
    hub.on("orders:*", group="billing", run_in="loop")(lambda content: None)
    with hub:
        hub.topic("orders:1").publish(1)
        assert telex("copy", source, target, "--once").code in {0, 1}  # the handler may not have run
        hub.topic("orders:1").publish(2)
    again = telex("copy", source, target, "--once")
    assert again.code == 1
    assert "billing on orders:* was in TO before, and handles 1 message there" in again.err


@pytest.mark.slow
def test_a_second_interrupt_ends_a_copy_at_once(tmp_path: Path) -> None:
    source, _ = urls(tmp_path)
    fill(source, 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = f"postgresql://me@127.0.0.1:{mute.getsockname()[1]}/shop"
        command = [sys.executable, "-m", "telex", "copy", source, target]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as copying:
            with mute.accept()[0]:
                copying.send_signal(signal.SIGINT)
                copying.send_signal(signal.SIGTERM)
                _, errors = copying.communicate(timeout=5)
            assert copying.returncode == 130
    assert "stopped before all messages were copied" in errors
