"""Print the path of a Chromium or Chrome that the tests can drive: python scripts/chromium.py [--install].

In this order: the one that TELEX_CHROMIUM names, one that is installed, one that Playwright has downloaded. With
--install, when there is none: Debian's package if this is root on a machine with apt-get, else Playwright's download.
The headless shell is preferred: it is Chromium without its windows, and takes less than half of the processor.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
NONE = (
    "no Chromium or Chrome was found, and none could be installed. "
    "Install one (Debian: apt-get install chromium), or name one: TELEX_CHROMIUM=/path/to/chromium"
)


def candidates() -> Iterator[str]:
    for name in NAMES:
        path = shutil.which(name)
        if path:
            yield path
    yield from PLACES
    script = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        yield run.stdout.strip()


def works(path: str) -> bool:
    # Some distributions ship a `chromium-browser` that only says how to install one, so a version is asked for.
    if not Path(path).is_file():
        return False
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0 and "Chrom" in run.stdout


def find() -> str | None:
    """The path of a Chromium that starts, or None."""
    named = os.environ.get("TELEX_CHROMIUM")
    if named:
        if works(named):
            return named
        raise SystemExit(f"TELEX_CHROMIUM={named} is not a Chromium or Chrome that starts")
    return next((path for path in candidates() if works(path)), None)


def install() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing Debian's chromium", file=sys.stderr)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ("install", "--yes", "--no-install-recommends", "fonts-liberation")
        for command in (("update",), (*install, "chromium-headless-shell"), (*install, "chromium")):
            run = subprocess.run(
                ["apt-get", "--quiet", *command], env=environment, capture_output=True, text=True, check=False
            )
            if run.returncode != 0:
                print(run.stdout + run.stderr, file=sys.stderr)
            elif "install" in command:
                return
    print("downloading Playwright's Chromium", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdout=sys.stderr, check=False)


def main() -> int:
    path = find()
    if path is None and "--install" in sys.argv[1:]:
        install()
        path = find()
    if path is None:
        print(NONE, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
