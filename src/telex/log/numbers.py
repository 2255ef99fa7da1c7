"""The kernel: `Numbers`, the numbers of messages by their places in a log. No asyncio, no clock, no I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from telex.message import Message


class Numbers:
    """The numbers that an engine gave to the messages of a log, by the places of this process.

    Places follow one another; numbers only rise. Messages whose numbers follow one another take one entry together.
    """

    __slots__ = ("_places", "_seqs")

    def __init__(self) -> None:
        self._places: list[int] = [1]
        self._seqs: list[int] = [1]

    def restart(self, place: int) -> None:
        """Forget all; the message at ``place`` gets this number, or a larger one."""
        self._places, self._seqs = [place], [place]

    def add(self, place: int, seq: int) -> None:
        """Note that the message at ``place`` has the number ``seq``."""
        index = bisect_right(self._places, place)
        if index and self._seqs[index - 1] + place - self._places[index - 1] == seq:
            return
        if index and self._places[index - 1] == place:
            self._seqs[index - 1] = seq
        else:
            self._places.insert(index, place)
            self._seqs.insert(index, seq)

    def extend(self, place: int, messages: Sequence[Message[Any]]) -> None:
        """Note the numbers of messages, the first of which is at ``place``."""
        if messages[-1].seq - messages[0].seq == len(messages) - 1:
            self.add(place, messages[0].seq)
            return
        for offset, message in enumerate(messages):
            self.add(place + offset, message.seq)

    def seq(self, place: int) -> int:
        """Return the number at ``place``. Where it is unknown, return a number between the known ones around it."""
        index = max(0, bisect_right(self._places, place) - 1)
        seq = self._seqs[index] + place - self._places[index]
        following = index + 1
        if following < len(self._seqs) and self._places[index] <= place:
            seq = min(seq, self._seqs[following] - 1)
        return seq

    def prune(self, place: int) -> None:
        """Forget the numbers before ``place``."""
        index = bisect_right(self._places, place) - 1
        if index > 0:
            del self._places[:index], self._seqs[:index]
