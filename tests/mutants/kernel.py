"""Bugs put in by hand, to see that the property tests of the kernel find them: ``python -m tests.mutants``.

Each is a change of one place of the source, made in a copy of it, against which the state machines run with a fixed
seed. CONTRIBUTING.md lists what found which; ``python -m tests.mutants --table`` writes that list.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
LIKELY = 6
"""How many seeds the likely policy is examined with."""
SECONDS = 60.0
"""The longest that one mutant may live."""


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tells: str
    """What goes wrong."""
    policy: str = "drop_newest"
    """The policy that is examined first, as `kind_id` names it: the one that is likely to show the bug."""
    seed: int = 1
    """The seed that is examined first, with that policy."""

    def make(self, folder: Path) -> Path:
        """A copy of the source with this bug in it."""
        source = folder / "src"
        # With the bytecode, so that only the changed file is compiled again. An unfinished one has a longer name.
        shutil.copytree(REPOSITORY / "src" / "telex", source / "telex", ignore=shutil.ignore_patterns("*.pyc.*"))
        file = source / "telex" / self.file
        for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
            compiled.unlink()
        file.write_text(self.text())
        return source

    def text(self) -> str:
        """The text of the file with this bug in it. The code that it changes has to be there once."""
        text = (REPOSITORY / "src" / "telex" / self.file).read_text()
        assert text.count(self.old) == 1, f"{self.name}: {self.old!r} is in {self.file} {text.count(self.old)} times"
        return text.replace(self.old, self.new)


MUTANTS = (
    Mutant(
        "one too many fits",
        "log/overflow.py",
        "fits = cursor.open + max(0, cursor.options.buffer - cursor.fresh)",
        "fits = cursor.open + max(0, cursor.options.buffer + 1 - cursor.fresh)",
        "drop_newest keeps buffer + 1 messages",
    ),
    Mutant(
        "a drop is not counted",
        "log/cursor.py",
        "        self._lost += count\n",
        "",
        "drop_oldest and latest lose messages that `lost` does not have",
        "drop_oldest",
    ),
    Mutant(
        "trimmed messages are not sealed",
        "log/log.py",
        "if cursor.open < low:\n",
        "if cursor.open < self.base:\n",
        "a log discards messages that still wait for a subscriber",
    ),
    Mutant(
        "a Lost is reported twice",
        "log/cursor.py",
        "hole, self._hole = self._hole, None",
        "hole = self._hole",
        "a subscriber gets the same Lost repeatedly",
    ),
    Mutant(
        "the limit is one too high",
        "log/overflow.py",
        "cursor.limit = max(fits, end)",
        "cursor.limit = max(fits, end) + 1",
        "a cursor takes one message more than its buffer without a check",
    ),
    Mutant(
        "a start before the kept messages",
        "log/start.py",
        "first, end = log.keep(now), log.end",
        "first, end = log.base, log.end",
        "a subscriber that starts early gets messages that retention does not keep",
    ),
    Mutant(
        "a position counts twice",
        "log/start.py",
        "wanted = max(1, position.seq + 1)",
        "wanted = max(1, position.seq)",
        "a subscriber that resumes gets the last message again",
    ),
    Mutant(
        "a pattern is fed topic by topic",
        "topics/registry.py",
        "merge(*(each.backlog() for each in matching), key=time_of)",
        "[m for each in matching for m in each.backlog()]",
        "a pattern created later has the kept messages in another order",
    ),
    Mutant(
        "a seal drops one",
        "log/cursor.py",
        "self.buffer.hold(self.open, log.slice(self.open, end))",
        "self.buffer.hold(self.open, log.slice(self.open, end - 1))",
        "the last message of a sealed range is lost",
    ),
    Mutant(
        "a tail is one too short",
        "log/log.py",
        "max(needed, self.end - max(self.tails.values()))",
        "max(needed, self.end - max(self.tails.values()) + 1)",
        "a log trims the oldest message that waits under drop_oldest",
        "drop_oldest",
    ),
    Mutant(
        "a replaced message of a key is not counted",
        "log/cursor.py",
        "            self._lost += 1\n",
        "            pass\n",
        "latest by key does not count replaced messages as lost",
        "latest-key",
    ),
    Mutant(
        "bytes are bounded one too low",
        "log/overflow.py",
        "if free < 0:",
        "if free <= 0:",
        "a message that just fits is dropped",
        "drop_newest-bytes",
    ),
    Mutant(
        "a loop does not check its limit",
        "log/overflow.py",
        "cursor.limit = max(end, cursor.open + messages - cursor.fresh)",
        "cursor.limit = NEVER",
        "async for reads messages that drop_oldest has dropped",
        "drop_oldest",
    ),
    Mutant(
        "a full cursor is asked too late",
        "log/overflow.py",
        "if cursor.fresh + end - cursor.open >= options.buffer:",
        "if cursor.fresh + end - cursor.open > options.buffer:",
        "block and fail admit one message too many",
        "block",
    ),
    Mutant(
        "a position is past a reported Lost",
        "log/buffer.py",
        "and place > self._dropped else",
        "else",
        "a subscriber that resumes after a Lost misses messages that the log still has",
        "drop_oldest",
        seed=4,
    ),
    Mutant(
        "an ended cursor seals nothing",
        "log/cursor.py",
        "        self.seal(self.log.end)\n        self.ended = ",
        "        self.ended = ",
        "messages that wait when a topic is removed are never delivered",
    ),
    Mutant(
        "retention is off by one",
        "log/log.py",
        "first = max(first, end - retention.messages)",
        "first = max(first, end - retention.messages - 1)",
        "a log keeps one message too many",
    ),
    Mutant(
        "the full subscribers of a pattern are not asked",
        "topics/local.py",
        "            queue.pass_nowait((self.log, *self.feeds), ",
        "            queue.pass_nowait((self.log,), ",
        "a full subscriber of a pattern does not stop a publisher",
        "block",
    ),
    Mutant(
        "an id is forgotten when its message is trimmed",
        "log/log.py",
        "                self.before_trim()\n",
        "                pass\n",
        "the same id is stored twice within the window",
        seed=3,
    ),
)


def examine(policy: str, first: int = 1) -> int:
    """Run the state machines against the telex that is imported, those of ``policy`` first, beginning with the seed
    ``first``; 1 and what was found when they fail."""
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.unit.log.choices import every_kind, kind_id
    from tests.unit.log.hub_machine import HubMachine
    from tests.unit.log.machine import LogMachine

    few = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    kinds = sorted(every_kind(), key=lambda kind: kind_id(kind) != policy)
    # The likely policy with more examples before all others.
    seeds = sorted(range(1, LIKELY + 1), key=lambda number: number != first)
    for number, kind in [*((number, kinds[0]) for number in seeds), *((1, kind) for kind in kinds[1:])]:
        for machine in (LogMachine, HubMachine):
            Machine = seed(number)(type("Machine", (machine,), {"kinds": [kind]}))  # noqa: N806
            try:
                run_state_machine_as_test(Machine, settings=few)
            except Exception as error:  # noqa: BLE001  # any is a find
                said = (str(error) or type(error).__name__).partition("\n")[0]
                print(f"{machine.__name__}, {kind_id(kind)}: {said}"[:150])
                return 1
    return 0


def found_by(mutant: Mutant) -> str:
    """What the machines say of a mutant; empty when they let it live."""
    with tempfile.TemporaryDirectory() as folder:
        source = mutant.make(Path(folder))
        run = subprocess.run(
            [sys.executable, "-m", "tests.mutants", "--examine", mutant.policy, "--seed", str(mutant.seed)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{REPOSITORY}"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert run.returncode == 0 or run.stdout, run.stderr
    return run.stdout.strip()


def put_in_all(table: bool) -> int:
    """Put each in and run the machines; returns how many live. `table`: print the list for CONTRIBUTING.md."""
    living = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, finding in zip(MUTANTS, pool.map(found_by, MUTANTS), strict=True):
            living += not finding
            if table:
                print(f"- {mutant.name.capitalize()} (`{mutant.file}`): {mutant.tells}.\n  {finding}.")
            else:
                print(f"{'found' if finding else 'LIVES':6} {mutant.name}: {finding}", flush=True)
    return living
