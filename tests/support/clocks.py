"""The clock of the machine, set by somebody while telex runs."""

import sys
import time

import pytest


def set_clocks(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Put the time of day, as every module of telex reads it, forward by so many seconds, or back. Clocks that are
    never set go on.
    """

    def moved() -> float:
        return time.time() + seconds

    for name, module in list(sys.modules.items()):
        if name.startswith("telex.") and getattr(module, "time", None) is time.time:
            monkeypatch.setattr(module, "time", moved)
