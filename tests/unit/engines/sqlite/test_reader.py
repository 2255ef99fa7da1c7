"""The thread that reads: one transaction each, errors to who asked, and what is left when it ends."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import pytest

import telex
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.reader import Reader, Told
from tests.unit.engines.sqlite.rigs import connect, file_with

WITHIN = 10
Answer = tuple[Any, Any, BaseException | None]


class Read:
    """A `Reader` with its thread, and what it posts."""

    def __init__(self, place: Path) -> None:
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self.ends: SimpleQueue[BaseException | None] = SimpleQueue()
        told = Told(self.ends.put, lambda *answer: self.answers.put(answer), lambda function, *given: function(*given))
        self.reader = Reader(parse(f"sqlite:///{place}/telex.db"), told)

    def put(self, function: Any) -> Any:
        future: Any = Future[Any]()
        self.reader.put(function, cast(Any, future))
        return future

    def ask(self, function: Any) -> tuple[Any, BaseException | None]:
        future = self.put(function)
        answered, result, error = self.answers.get(timeout=WITHIN)
        assert answered is future
        return result, error


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    file_with(tmp_path, 2).close()
    found = Read(tmp_path)
    found.reader.thread.start()
    yield found
    found.reader.close()
    found.reader.thread.join(WITHIN)
    assert not found.reader.thread.is_alive()


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM telex_messages").fetchone()[0]
    return found


def test_a_function_reads_one_state_of_the_file_and_the_next_one_reads_the_next(read: Read, tmp_path: Path) -> None:
    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        before = count(connection)
        with closing(connect(tmp_path)) as other:
            other.execute("DELETE FROM telex_messages")
        return before, count(connection)

    assert read.ask(twice) == ((2, 2), None)
    assert read.ask(count) == (0, None)


def test_a_function_cannot_write(read: Read) -> None:
    result, error = read.ask(lambda connection: connection.execute("DELETE FROM telex_messages").fetchall())
    assert result is None
    assert isinstance(error, telex.EngineFailed)
    assert read.ask(count) == (2, None)


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (telex.Misuse("read", "do not"), telex.Misuse),
        ("\ud800".encode, UnicodeEncodeError),
        (sqlite3.OperationalError("no such table"), telex.EngineFailed),
        (MemoryError(), telex.EngineFailed),
        (Odd(), telex.EngineFailed),
    ],
)
def test_an_error_goes_to_the_caller_and_the_thread_goes_on(read: Read, raised: Any, kind: type[BaseException]) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        if callable(raised):
            raised()
        raise raised

    _, error = read.ask(fail)
    assert type(error) is kind
    assert read.ask(count) == (2, None)


def test_a_function_that_nobody_waits_for_is_not_called(read: Read) -> None:
    called: list[str] = []

    def block(connection: sqlite3.Connection) -> None:
        cancelled = read.put(lambda _: called.append("cancelled"))
        assert cancelled.cancel()

    assert read.ask(block) == (None, None)
    assert read.ask(count) == (2, None)
    assert called == []


def test_closing_ends_the_thread_after_what_was_put_before(read: Read) -> None:
    future = read.put(count)
    read.reader.close()
    late = read.put(count)
    assert read.ends.get(timeout=WITHIN) is None
    assert read.answers.get(timeout=WITHIN)[:2] == (future, 2)
    assert read.reader.left() == [late]


def test_a_file_that_cannot_be_opened_ends_the_thread_with_the_cause(tmp_path: Path) -> None:
    read = Read(tmp_path / "nowhere")
    asked = [read.put(count) for _ in range(2)]
    read.reader.thread.start()
    assert isinstance(read.ends.get(timeout=WITHIN), sqlite3.OperationalError)
    read.reader.thread.join(WITHIN)
    assert read.reader.left() == asked


def test_nothing_is_held_between_two_reads(read: Read, tmp_path: Path) -> None:
    assert read.ask(count) == (2, None)
    with closing(connect(tmp_path)) as other:
        other.execute("DELETE FROM telex_messages")
        busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0, "an open read transaction keeps the log of changes from being emptied"


def test_a_caller_whose_answer_could_not_be_posted_is_left(tmp_path: Path) -> None:
    file_with(tmp_path, 1).close()
    read = Read(tmp_path)

    def post(function: Any, *given: Any) -> None:
        if len(given) > 1:
            raise RuntimeError("the loop is closed")
        function(*given)

    read.reader.events.post = post
    asked = [read.put(count) for _ in range(2)]
    read.reader.thread.start()
    assert "the loop is closed" in str(read.ends.get(timeout=WITHIN))
    read.reader.thread.join(WITHIN)
    assert read.reader.left() == asked
