"""The document's own publish and subscribe in Go, from `bench/anchors/seed`, as it is: one goroutine a subscriber."""

import json
import shutil
import subprocess
from pathlib import Path

from bench.question import Absent

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "bench" / "anchors" / "seed"
PROGRAM = ROOT / "build" / "bench" / "seed"
BUFFER = 1024
# A few tenths of a second each: long enough for every channel's buffer to have been gone through several times.
MESSAGES = {1: 150_000, 100: 30_000, 1000: 4_000}


def program() -> Path:
    """The program, built if it is not there or older than its source. Raises `Absent` without Go."""
    source = SOURCE / "main.go"
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > source.stat().st_mtime:
        return PROGRAM
    go = shutil.which("go")
    if go is None:
        raise Absent("no Go")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        [go, "build", "-o", str(PROGRAM), "."], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise Absent(f"go build failed: {built.stderr.strip().splitlines()[-1]}")
    return PROGRAM


def fan_out(subscribers: int, quick: bool) -> tuple[float, int]:
    """Deliveries a second, and how many messages it dropped."""
    messages = 64 if quick else MESSAGES[subscribers]
    command = [str(program()), str(subscribers), str(messages), str(BUFFER)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return float(said["deliveries_per_s"]), int(said["dropped"])
