"""TLS by the URL, on a server whose certificate the test has signed itself."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import telex
from tests.support.postgres import OPTIONS, PostgresServer, startable

pytestmark = pytest.mark.slow
SUBJECT = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2")


def certificate(folder: Path, name: str) -> None:
    """A key and a certificate for ``localhost`` that is its own root, owned as the folder is."""
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", *SUBJECT]
    files = [folder / f"{name}.key", folder / f"{name}.crt"]
    subprocess.run([*command, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    for file in files:
        file.chmod(0o600 if file.suffix == ".key" else 0o644)
        os.chown(file, folder.stat().st_uid, folder.stat().st_gid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(port: int) -> Iterator[PostgresServer]:
    """A server that takes no connection of the network without TLS."""
    options = [*OPTIONS, "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"]
    with startable(options, port) as server:
        data = server.folder / "data"
        certificate(data, "server")
        certificate(server.folder, "other")
        (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        server.start()
        yield server


def url(server: PostgresServer, port: int, host: str, root: str, mode: str = "verify-full") -> str:
    """A URL whose server is known by its certificate."""
    address = f"postgresql://telex@{host}:{port}/postgres?hostaddr=127.0.0.1"
    return f"{address}&sslmode={mode}&sslrootcert={server.folder / root}&application_name=tls"


async def test_a_hub_connects_by_tls_to_the_server_that_the_url_names(server: PostgresServer, port: int) -> None:
    hub = telex.Hub(url(server, port, "localhost", "data/server.crt"))
    async with hub, hub.topic("a").subscribe() as inbox:
        await hub.topic("a").publish(1)
        assert (await inbox.receive(timeout=10)).content == 1
        await hub.groups.list()
        async with await psycopg.AsyncConnection.connect(server.conninfo) as connection:
            query = "SELECT s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE application_name = 'tls'"
            found = await (await connection.execute(query)).fetchall()
    assert len(found) >= 4
    assert all(row == (True,) for row in found), "one writes, one reads, one listens, one asks: all of them by TLS"


@pytest.mark.parametrize(
    ("host", "root", "mode", "reason"),
    [
        ("localhost", "other.crt", "verify-full", "certificate verify failed"),
        ("elsewhere", "data/server.crt", "verify-full", "does not match host name"),
        ("localhost", "no.crt", "verify-full", "no.crt"),
        ("localhost", "data/server.crt", "disable", "no pg_hba.conf entry"),
    ],
)
async def test_a_server_that_cannot_prove_itself_is_refused(
    server: PostgresServer, port: int, host: str, root: str, mode: str, reason: str
) -> None:
    with pytest.raises(telex.ConnectFailed) as failed:
        async with telex.Hub(url(server, port, host, root, mode), timeout=10):
            pass
    assert reason in failed.value.problem
    fix = "TLS" if mode == "disable" else "see sslmode= and sslrootcert= in the URL"
    assert fix in failed.value.problem
