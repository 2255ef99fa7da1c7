"""The parts of a benchmark: a question, its contestants, its cases, and the answer."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Contestant:
    """One that is measured. ``cases`` are those of the question's that it takes part in; all of them when empty.

    ``calls`` says that it runs its subscribers' functions within the call that publishes, where others wake tasks.
    """

    name: str
    label: str
    note: str = ""
    cases: tuple[str, ...] = ()
    calls: bool = False


@dataclass(frozen=True)
class Question:
    """The question of one file of this folder, whose ``measure(contestant, case, quick)`` runs in a worker process."""

    name: str
    title: str
    method: str
    unit: str
    better: Literal["more", "less"]
    cases: dict[str, str]
    """The title in a table of each case, by the case's name."""
    contestants: tuple[Contestant, ...]
    rounds: int

    def takes_part(self, contestant: Contestant, case: str) -> bool:
        return not contestant.cases or case in contestant.cases


@dataclass
class Figures:
    """The figures of one contestant in one case, one a round, and the number of dropped messages of all rounds."""

    values: list[float] = field(default_factory=list)
    dropped: int = 0


@dataclass
class Answer:
    """The answer to a question: figures by contestant and case, and the reason for each absent contestant."""

    question: Question
    figures: dict[tuple[str, str], Figures] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def values(self, contestant: str, case: str) -> list[float]:
        found = self.figures.get((contestant, case))
        return [] if found is None else found.values


class Absent(Exception):
    """A contestant that this machine cannot run; the text says why, for the table."""
