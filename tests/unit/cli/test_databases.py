"""The commands on a PostgreSQL database; `telex export | telex import` into one, as processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import telex as library
from telex.blocking import Hub
from tests.support.postgres import url_of
from tests.unit.cli.conftest import Ran, Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: str, request: pytest.FixtureRequest) -> str:
    """A schema of this test's own, which does not exist yet, and goes with the server."""
    return url_of(postgres, f"cli_{abs(hash(request.node.name)):x}")


def program(*arguments: str, given: bytes | None = None) -> Ran:
    """Run `telex` as a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TELEX_")}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "telex", *arguments],
        input=given,
        capture_output=True,
        check=False,
        env=environment,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def kept(url: str) -> list[tuple[object, ...]]:
    with Hub(url) as hub:
        every = [message for name in sorted(hub.topics()) for message in hub.topic(name).history()]
    found = [message for message in every if isinstance(message, library.Message)]
    return [(m.topic, m.id, m.timestamp, m.key, dict(m.headers), m.content, m.type) for m in found]


def fill(url: str, count: int = 1700) -> None:
    with Hub(url) as hub:
        hub.retain(">", messages=10_000)
        with hub.transaction() as tx:
            for number in range(count):
                tx.publish(f"orders:{number % 3}", {"n": number}, key=f"k{number % 7}", headers={"n": str(number)})
        hub.topic("orders:bytes").publish(b"raw")
        hub.topic("orders:given").publish("x", id="an-id-of-their-own")


def test_export_into_import_moves_a_file_into_a_database(url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path}/from.db"
    fill(source)
    with Hub(url) as hub:
        hub.retain(">", messages=10_000)
    command = '"$0" -m telex export --url "$1" | "$0" -m telex import - --json --url "$2"'
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, source, url], capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert json.loads(ran.stdout) == {"messages": 1702, "known": 0}
    assert kept(url) == kept(source)
    exported = program("export", "--url", url)
    assert exported.code == 0
    assert program("import", "-", "--url", url, given=exported.out.encode()).out == (
        "0 messages, 1,702 were there already\n"
    )
    back = f"sqlite:///{tmp_path}/back.db"
    with Hub(back) as hub:
        hub.retain(">", messages=10_000)
    assert program("import", "-", "--url", back, given=exported.out.encode()).out == "1,702 messages\n"
    assert kept(back) == kept(source)


def test_an_import_says_where_retention_keeps_fewer(url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path}/from.db"
    with Hub(source) as hub:
        hub.retain("orders", messages=10_000)
        with hub.transaction() as tx:
            for number in range(1100):
                tx.publish("orders", number)
    exported = program("export", "--url", source)
    ran = program("import", "-", "--url", url, given=exported.out.encode())
    assert (ran.code, ran.out) == (0, "1,100 messages\n")
    assert "orders keeps 1,000 of 1,100 imported" in ran.err


def test_topics_and_history_of_a_database(url: str, telex: Telex) -> None:
    with Hub(url) as hub:
        for number, name in enumerate(("orders:2", "orders:1", "refunds")):
            hub.topic(name).publish({"number": number}, key="k")
        hub.retain("refunds", messages=0)
    heading, *lines = telex("topics", "--url", url).out.splitlines()
    assert heading.split() == ["TOPIC", "MESSAGES", "BYTES", "LAST"]
    assert [line.split()[:2] for line in lines] == [["orders:1", "1"], ["orders:2", "1"], ["refunds", "0"]]
    found = json.loads(telex("topics", "orders:*", "--json", "--url", url).out)
    assert [(topic["topic"], topic["bytes"]) for topic in found] == [
        ("orders:1", len('{"number":1}')),
        ("orders:2", len('{"number":0}')),
    ]
    history = telex("history", "orders:1", "--json", "--url", url)
    assert json.loads(history.out)["content"] == {"number": 1}
    assert json.loads(history.out)["timestamp"][:19] == found[0]["last"][:19]
    seen = telex("sub", "orders:*", "--since", "earliest", "--count", "2", "--json", "--timeout", "20", "--url", url)
    assert [json.loads(line)["content"]["number"] for line in seen.out.splitlines()] == [0, 1]
    assert telex("pub", "orders:1", "7", "--url", url).code == 0
    assert telex("history", "orders:1", "--last", "1", "--url", url).out.endswith("orders:1 2  7\n")


def test_groups_and_dead_letters_of_a_database(url: str, telex: Telex) -> None:
    hub = Hub(url)

    @hub.on("orders", group="billing", run_in="loop")
    def bill(content: int) -> None:
        raise library.Reject("no")

    with hub:
        hub.topic("orders").publish(7)
        with hub.topic("dead:billing").subscribe(start="earliest") as letters:
            letters.receive(timeout=20)
    (group,) = json.loads(telex("groups", "--json", "--url", url).out)
    assert (group["group"], group["lag"], group["dead"]) == ("billing", 0, 1)
    assert telex("groups", "pause", "billing", "--url", url).out == "billing on orders: paused\n"
    assert json.loads(telex("groups", "--json", "--url", url).out)[0]["paused"]
    letter = json.loads(telex("dead", "list", "--json", "--url", url).out)
    assert (letter["reason"], letter["message"]["content"]) == ("no", 7)
    assert telex("dead", "show", str(letter["position"]), "--url", url).code == 0
    assert telex("dead", "retry", "--group", "billing", "--url", url).out == "1 delivered again\n"
    assert json.loads(telex("groups", "--json", "--url", url).out)[0]["lag"] == 1
    assert telex("groups", "forget", "billing", "--yes", "--url", url).code == 0
    assert json.loads(telex("groups", "--json", "--url", url).out) == []


def test_triggers_and_once_of_a_database(url: str, telex: Telex) -> None:
    hub = Hub(url)
    hub.every("1h", name="mornings", topic="morning")

    @hub.command("charge", once=True, run_in="loop")
    def charge(order: int) -> int:
        return order + 1

    with hub:
        assert hub.call("charge", 7, key="order-7") == 8
    shown = json.loads(telex("once", "show", "charge", "order-7", "--json", "--url", url).out)
    assert (shown["state"], shown["result"]) == ("done", 8)
    assert telex("once", "forget", "charge", "order-7", "--yes", "--url", url).code == 0
    assert telex("once", "show", "charge", "order-7", "--url", url).code == 1
    (trigger,) = json.loads(telex("triggers", "--json", "--url", url).out)
    assert trigger["trigger"] == "mornings"
    assert telex("triggers", "pause", "mornings", "--url", url).out == "mornings: paused\n"
    assert telex("triggers", "resume", "mornings", "--url", url).code == 0
    assert json.loads(telex("triggers", "fire", "mornings", "--json", "--url", url).out)["fired"] == 1


@pytest.mark.parametrize("command", ["check", "compact"])
def test_commands_on_files_name_the_way_on_a_database(telex: Telex, command: str) -> None:
    for arguments in (("--url", "postgresql://x@h/d"), ("postgres://x@h/d",)):
        ran = telex(command, *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert "PostgreSQL" in ran.err
        assert {"check": "pg_amcheck", "compact": "autovacuum"}[command] in ran.err


@pytest.mark.parametrize(
    "command", [("topics",), ("history", "a"), ("groups",), ("triggers",), ("export",), ("sub", "a"), ("dead", "list")]
)
def test_reading_makes_no_schema(postgres: str, url: str, telex: Telex, command: tuple[str, ...]) -> None:
    ran = telex(*command, "--url", url)
    assert (ran.code, ran.out) == (3, "")
    assert "it has no schema cli_" in ran.err
    with psycopg.connect(postgres) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (url.partition("schema=")[2],))
        assert found.fetchone() is None


def test_memory_is_refused_by_name(telex: Telex) -> None:
    ran = telex("groups", "--url", "memory://")
    assert (ran.code, ran.out) == (2, "")
    assert "memory:// has no messages of other programs" in ran.err
