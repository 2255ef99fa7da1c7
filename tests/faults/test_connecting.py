"""Opening a hub on a PostgreSQL server that cannot be used: an error in time, with the fix, and no remains."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

import telex
from tests.support.postgres import PostgresServer, startable, url_of

pytestmark = pytest.mark.slow
TIMEOUT = 2


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server on which the role `locked` needs a password, and `plain` may not create a schema."""
    with startable() as server:
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all locked scram-sha-256\n{rules.read_text()}")
        server.start()
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
            connection.execute("CREATE ROLE plain LOGIN")
            connection.execute("CREATE DATABASE private")
            connection.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
        yield server


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that nothing listens on, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def mute_server() -> Iterator[int]:
    """A server that accepts and says nothing: the system accepts for it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


@contextmanager
def silent_host() -> Iterator[int]:
    """A port that does not even answer to a connection: its queue is full, and the system drops all others."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def sockets() -> set[str]:
    """The sockets of this process."""
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return {target for entry in links if (target := str(entry.readlink())).startswith("socket:")}


async def refusal(url: str) -> telex.TelexError:
    """The error of opening a hub on a URL, in time and with nothing left behind."""
    tasks, threads, before = asyncio.all_tasks(), set(threading.enumerate()), sockets()
    began = monotonic()
    hub = telex.Hub(url, timeout=TIMEOUT)
    with pytest.raises((telex.ConnectFailed, telex.Timeout)) as failed:
        async with hub:
            pass
    took = monotonic() - began
    assert took < TIMEOUT + 0.2, f"it took {took:.2f} s"
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) == threads
    assert sockets() <= before
    assert isinstance(failed.value, telex.TelexError)
    return failed.value


@pytest.mark.parametrize("host", [silent_host, mute_server])
async def test_a_server_that_does_not_answer_is_a_timeout_that_says_where_to_look(
    host: Callable[[], AbstractContextManager[int]], caplog: pytest.LogCaptureFixture
) -> None:
    with host() as port:
        error = await refusal(f"postgresql://user:secret@127.0.0.1:{port}/db")
    assert isinstance(error, telex.Timeout)
    assert isinstance(error, TimeoutError)
    for part in (f"opening the hub on postgresql://127.0.0.1:{port}/db", "2 s", "no answer", "firewall"):
        assert part in str(error)
    assert "secret" not in str(error)
    assert not [record for record in caplog.records if record.name.startswith("telex")]


async def test_a_dead_port_is_refused() -> None:
    with dead_port() as port:
        error = await refusal(f"postgresql://user:secret@127.0.0.1:{port}/db")
    assert isinstance(error, telex.ConnectFailed)
    assert error.url == f"postgresql://127.0.0.1:{port}/db"
    assert "see that the server runs there and listens on this address and port" in error.problem
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("before", "after", "reason", "fix"),
    [
        ("telex@", "locked:wrong@", "password authentication failed", "give the right user and password"),
        ("telex@", "locked@", "no password supplied", "~/.pgpass"),
        ("/postgres?", "/nothing?", "does not exist", "create it, or write the right name"),
        ("telex@/postgres", "plain@/private", "permission denied for database", "GRANT CONNECT"),
        ("telex@", "plain@", "may not make its tables", "telex migrate URL --sql --role plain"),
    ],
)
async def test_a_server_that_refuses_says_how_to_be_let_in(
    server: PostgresServer, before: str, after: str, reason: str, fix: str
) -> None:
    url = url_of(server.conninfo, "telex")
    assert before in url
    error = await refusal(url.replace(before, after))
    assert isinstance(error, telex.ConnectFailed)
    assert reason in error.problem
    assert fix in error.problem
    assert "wrong" not in str(error)


async def test_a_server_that_stops_answering_is_a_timeout_that_says_so(server: PostgresServer) -> None:
    lock = "SELECT pg_advisory_lock(1952804984, hashtext('held'))"
    async with await psycopg.AsyncConnection.connect(server.conninfo, autocommit=True) as holder:
        await holder.execute(lock)
        error = await refusal(url_of(server.conninfo, "held"))
    assert isinstance(error, telex.Timeout)
    assert "pg_stat_activity" in str(error)
