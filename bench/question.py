"""What a benchmark is made of: a question, who is asked, in which cases, and what came out."""

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
    """What one file of this folder answers; its ``measure(contestant, case, quick)`` runs in a worker process."""

    name: str
    title: str
    method: str
    unit: str
    better: Literal["more", "less"]
    cases: dict[str, str]
    """What is varied: names, and what they are called in a table."""
    contestants: tuple[Contestant, ...]
    rounds: int

    def takes_part(self, contestant: Contestant, case: str) -> bool:
        return not contestant.cases or case in contestant.cases


@dataclass
class Figures:
    """What one contestant did in one case: a figure a round, and what was dropped in all rounds together."""

    values: list[float] = field(default_factory=list)
    dropped: int = 0


@dataclass
class Answer:
    """What came out of a question: figures by contestant and case, and who could not be measured, and why."""

    question: Question
    figures: dict[tuple[str, str], Figures] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def values(self, contestant: str, case: str) -> list[float]:
        found = self.figures.get((contestant, case))
        return [] if found is None else found.values


class Absent(Exception):
    """A contestant that this machine cannot run; the text says why, for the table."""
