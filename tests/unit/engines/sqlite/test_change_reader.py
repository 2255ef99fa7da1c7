"""Reading what any process has committed, in the order of its places."""

from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from telex.engines.interest import Followed
from telex.engines.sqlite import change_reader as tail
from telex.engines.sqlite.bounds import FileBounds
from telex.engines.sqlite.client import FileClient
from telex.engines.sqlite.delayed import Delayed
from telex.engines.sqlite.jobs import Batch
from telex.names import Pattern
from telex.testing.conformance.rig import message
from tests.unit.engines.sqlite.rigs import file_with


@pytest.mark.parametrize("bounds", [FileBounds(read_bytes=1), FileBounds(read_rows=2)])
def test_messages_that_do_not_fit_one_read_are_read_next(tmp_path: Path, bounds: FileBounds) -> None:
    seen: list[int] = []
    place, reads = 1, 0
    with closing(file_with(tmp_path, 5)) as connection:
        while place < 6:
            found = tail.look(connection, place, 6, (0, 0, 0), full=False, bounds=bounds, followed=EVERYTHING)
            seen += [row[0] for row in found.rows]
            place, reads = found.end, reads + 1
    assert seen == [1, 2, 3, 4, 5]
    assert reads > 1


EVERYTHING = Followed(frozenset(), (Pattern(">"),))


def test_a_batch_that_is_being_committed_is_not_known_yet() -> None:
    class Quiet:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *args: object) -> None: ...

    follower = tail.ChangeReader(cast(FileClient, Quiet()), cast(Delayed, Quiet()))
    own = Batch([])
    own.start, own.end, own.entries = 5, 7, [message("t", 1).numbered(1, 0), message("t", 2).numbered(2, 0)]
    follower.begun(own)
    follower.take_in(tail.Seen("epoch", 7, 0, 0, 0, [], 5, EVERYTHING), [])
    assert follower.known == 1, "the thread that writes has not said that it is committed"
    follower.take_in(tail.Seen("epoch", 5, 0, 0, 0, [], 5, EVERYTHING), [])
    assert follower.known == 5
    assert follower.fed == 5


def test_the_content_of_topics_that_nobody_follows_is_not_read(tmp_path: Path) -> None:
    with closing(file_with(tmp_path, 3)) as connection:
        for followed in (True, False):
            names = frozenset({"t"} if followed else {"other"})
            seen = tail.look(connection, 1, 4, (0, 0, 0), full=False, followed=Followed(names, ()))
            assert [row[1] for row in seen.rows] == [1, 2, 3]
            assert [row[7] is not None for row in seen.rows] == [followed] * 3
