"""Reading what any process has committed, in the order of its places."""

from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from telex.engines.sqlite import change_reader as tail
from telex.engines.sqlite.bounds import FileBounds
from telex.engines.sqlite.client import FileClient
from telex.engines.sqlite.delayed import Delayed
from telex.engines.sqlite.jobs import Batch
from telex.testing.conformance.rig import message
from tests.unit.engines.sqlite.rigs import file_with


@pytest.mark.parametrize("bounds", [FileBounds(read_bytes=1), FileBounds(read_rows=2)])
def test_messages_that_do_not_fit_one_read_are_read_next(tmp_path: Path, bounds: FileBounds) -> None:
    seen: list[int] = []
    place, reads = 1, 0
    with closing(file_with(tmp_path, 5)) as connection:
        while place < 6:
            found = tail.look(connection, place, 6, (0, 0, 0), full=False, bounds=bounds)
            seen += [row[0] for row in found.rows]
            place, reads = found.end, reads + 1
    assert seen == [1, 2, 3, 4, 5]
    assert reads > 1


def test_a_batch_that_is_being_committed_is_not_known_yet() -> None:
    class Quiet:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *args: object) -> None: ...

    follower = tail.ChangeReader(cast(FileClient, Quiet()), cast(Delayed, Quiet()))
    own = Batch([])
    own.start, own.end, own.entries = 5, 7, [message("t", 1).numbered(1, 0), message("t", 2).numbered(2, 0)]
    follower.begun(own)
    follower.take_in(tail.Seen("epoch", 7, 0, 0, 0, [], 5), [])
    assert follower.known == 1, "the thread that writes has not said that it is committed"
    follower.take_in(tail.Seen("epoch", 5, 0, 0, 0, [], 5), [])
    assert follower.known == 5
    assert follower.fed == 5
