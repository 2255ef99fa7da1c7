"""Print the folder of PostgreSQL's programs that the tests run: python scripts/postgres.py [--install].

In this order: the one that TELEX_POSTGRES names, that of the path, that of Debian's packages. With --install, when
there is none: Debian's package, if this is root on a machine with apt-get. Its own server is not started.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
SETTINGS = Path("/etc/postgresql-common/createcluster.conf")
NONE = (
    "no PostgreSQL server was found, and none could be installed. Install one (Debian: apt-get install postgresql), "
    "or name the folder of its programs: TELEX_POSTGRES=/path/to/bin"
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


def install() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print("installing Debian's postgresql", file=sys.stderr)
    if not SETTINGS.exists():
        SETTINGS.parent.mkdir(parents=True, exist_ok=True)
        SETTINGS.write_text("create_main_cluster = false\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    keep = ["--option", "Dpkg::Options::=--force-confold"]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *keep, "postgresql"]):
        run = subprocess.run(
            ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            print(run.stdout + run.stderr, file=sys.stderr)
            return


def main() -> int:
    folder = find()
    if folder is None and "--install" in sys.argv[1:]:
        install()
        folder = find()
    if folder is None:
        print(NONE, file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
