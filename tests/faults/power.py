"""Take the power away: kill a program, throw away all that was written after the last sync of each file, and look.

python -m tests.faults.power --times 20
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from telex.engines.sqlite.upkeep import check
from tests.faults.kills import LONGEST, Count, last_run, look, main, ready, start

SOURCE = Path(__file__).with_name("syncs.c")


def shim(folder: Path) -> Path:
    """The library that notes what was synced, compiled."""
    library = folder / "syncs.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def lose_power(folder: Path, times: int, seed: int, options: str = "") -> Count:
    chance, notes, library = random.Random(seed), folder / "notes", shim(folder)
    url = f"sqlite:///{folder}/victim.db{options}"
    for run in range(times):
        os.environ["LD_PRELOAD"] = str(library)
        try:
            process = start(url, notes, run)
        finally:
            del os.environ["LD_PRELOAD"]
        ready(process)
        time.sleep(chance.random() * LONGEST)
        process.send_signal(signal.SIGKILL)
        process.wait()
        only_what_was_synced(folder)
    last_run(url, notes)
    count = asyncio.run(look(url, notes.read_text()))
    count.kills = times
    count.problems += check(folder / "victim.db")
    return count


def only_what_was_synced(folder: Path) -> None:
    """Each file of the database becomes what it was at its last sync; one that never was, is not there."""
    for name in ("victim.db", "victim.db-wal", "victim.db-shm"):
        file, synced = folder / name, folder / f"{name}.synced"
        file.unlink(missing_ok=True)
        if synced.exists():
            shutil.copyfile(synced, file)


if __name__ == "__main__":
    main(__doc__, 20, lose_power)
