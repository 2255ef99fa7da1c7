"""Ratios of figures that were measured in the same round, and what many rounds say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, the lowest and the highest."""

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of the rounds; None without rounds."""
    if not values:
        return None
    return Spread(median(values), min(values), max(values), len(values))


def ratios(figures: Sequence[float], others: Sequence[float]) -> list[float]:
    """Round by round, so that what slowed the machine down in one round weighs on both sides of its ratio."""
    return [figure / other for figure, other in zip(figures, others, strict=True) if other]


def compact(value: float) -> str:
    """A number with three significant digits, in thousands and millions where it is large: 12.3 M."""
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)}{suffix}"
    return _three(value)


def _three(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.0995 or not size:
        return f"{value:.2f}"
    return f"{value:.2g}"
