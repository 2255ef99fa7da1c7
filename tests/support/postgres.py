"""A PostgreSQL server of the tests' own, in a folder that goes with it, and reached by a socket in that folder."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import psycopg.conninfo

SCRIPT = Path(__file__).parents[2] / "scripts" / "postgres.py"
WITHIN = 60.0
"""Seconds that a server may take to be there."""
OPTIONS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=16MB")


@contextmanager
def server() -> Iterator[str]:
    """The connection string of a server that runs until this is left."""
    found = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise AssertionError(found.stderr)
    programs = Path(found.stdout.strip())
    folder = Path(tempfile.mkdtemp(prefix="telex-pg-"))
    try:
        who = _somebody(folder)
        data = folder / "data"
        command = [
            str(programs / "initdb"),
            "--pgdata",
            str(data),
            "--auth",
            "trust",
            "--username",
            "telex",
            "--no-sync",
        ]
        subprocess.run([*command, "--encoding", "UTF8", "--locale", "C"], check=True, capture_output=True, **who)  # type: ignore[call-overload]  # a user or nothing
        log = (folder / "log").open("wb")
        with log:
            process = subprocess.Popen(  # type: ignore[call-overload]  # as above
                [str(programs / "postgres"), "-D", str(data), "-k", str(folder), *OPTIONS],
                stdout=log,
                stderr=log,
                **who,
            )
        try:
            conninfo = f"host={folder} user=telex dbname=postgres"
            _wait(conninfo, process, folder / "log")
            yield conninfo
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def url_of(conninfo: str, schema: str) -> str:
    """The URL of an engine in a schema of the server of a connection string."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={quote(str(parts['host']), safe='')}&schema={schema}"
