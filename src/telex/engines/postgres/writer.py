"""`AppendWriter`: stores messages. Messages that are published while a commit is in flight go together into the next
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from psycopg import Error

from telex.engines.forms import Form, encode
from telex.engines.postgres import problems
from telex.engines.postgres.arrays import BigintArray, BytesArray, FloatArray, TextArray
from telex.engines.postgres.catalogue import uid_of
from telex.engines.postgres.connections import ServerConnection, connect
from telex.engines.postgres.link import PATIENCE, PAUSES, STATEMENT_SECONDS, ServerLink
from telex.engines.postgres.problems import Verdict
from telex.errors import ContentError
from telex.message import Draft, Message, uuid7_counter

MAX_MESSAGES, MAX_BYTES = 1000, 8 * 1024 * 1024
"""The most messages, and bytes of their content, in one transaction; one larger message goes alone."""
LARGEST = 100_000_000
"""The most bytes of one message."""
BYTES_A_SECOND = 4_000_000
"""The rate, in bytes per second, by which a large batch gets more time."""
_APPEND = (
    "SELECT * FROM {s}.append(%s::uuid, %s::bigint, %s::boolean, %s::text[], %s::bigint[], %s::float8[], %s::bigint[], "
    "%s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])"
)


class AppendJob(msgspec.Struct, eq=False):
    """The messages of one publisher, to be stored together."""

    drafts: Sequence[Draft]
    forms: list[Form]
    future: asyncio.Future[Sequence[Message[Any]]]
    adopt: bool = False

    @property
    def size(self) -> int:
        """The bytes of the content."""
        return sum(form[4] for form in self.forms)


class StoredBatch(msgspec.Struct, eq=False):
    """The messages that one transaction of this process stored: the place of each, or 0 if its id was known before."""

    jobs: list[AppendJob]
    before: int
    """The place of the last message before the batch."""
    messages: list[Message[Any] | None]
    """The stored messages; None when the id was known and the stored message has to be read."""
    places: list[int]
    topics: list[tuple[int, str, str, int]]
    """The id, name and epoch of each topic, and the number of its last message."""
    known: dict[int, int]
    """By index: the number of the stored message of a known id, 0 if unknown."""

    @property
    def last(self) -> int:
        """The place of the last message of the batch."""
        return max(self.places, default=0) or self.before


class PackedBatch:
    """The parameters of ``append`` for some drafts."""

    def __init__(self, drafts: Sequence[Draft], forms: Sequence[Form], link: ServerLink) -> None:
        index: dict[str, int] = {}
        for draft in drafts:
            index.setdefault(draft.topic, len(index) + 1)
        self.names: list[str] = list(index)
        self.topics: list[int] = [index[draft.topic] for draft in drafts]
        types, keys, headers, contents, sizes = zip(*forms, strict=True)
        texts = [content if type(content) is str else None for content in contents]
        data = [content if type(content) is bytes else None for content in contents]
        self.parameters: list[Any] = [
            TextArray.of(self.names),
            BigintArray.of(self.topics),
            FloatArray.of([draft.time for draft in drafts]),
            BigintArray.of(sizes),
            TextArray.of(types),
            TextArray.of(keys),
            TextArray.of(headers),
            TextArray.of(texts),
            BytesArray.of(data),
            *self._ids(drafts, link),
        ]

    def _ids(self, drafts: Sequence[Draft], link: ServerLink) -> list[Any]:
        """Encode the given ids. For an id that telex may have made, add the number from which it was made."""
        if all(draft.id is None for draft in drafts):
            return [None, None, None, None]
        made, milliseconds = [], []
        for draft in drafts:
            counter = None if draft.id is None else uuid7_counter(draft.id)
            seq = 0 if counter is None else (counter - link.catalogue.identity(draft.topic)[1]) % (1 << 74)
            is_made = counter is not None and 0 < seq < 1 << 62
            made.append(seq if is_made else 0)
            milliseconds.append(int((draft.id or "").replace("-", "")[:12], 16) if is_made else 0)
        epochs = [link.catalogue.identity(name)[0] for name in self.names]
        ids = TextArray.of([draft.id for draft in drafts])
        return [ids, BigintArray.of(made), BigintArray.of(milliseconds), TextArray.of(epochs)]


class AppendWriter:
    """The writer of messages, with a connection of its own. Used in the event loop."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        self._id = str(uuid4())
        self.batch: int = 0
        """The number of the last batch: the server stores each number of a process once."""
        self._sql = append_statement(link.address.quoted)
        self._pending: list[AppendJob] = []
        self._wake = asyncio.Event()
        self._connection: ServerConnection | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._sent_at = 0.0  # the time of the event loop at which the last batch was sent first
        self._closing = False
        self.on_stored: Callable[[StoredBatch], None] | None = None
        """A callback with each committed batch."""
        self.on_broken: Callable[[], None] | None = None
        """A callback for a broken connection: the reader checks whether the server is reached."""

    def append(self, drafts: Sequence[Draft], *, adopt: bool = False) -> asyncio.Future[Sequence[Message[Any]]]:
        """Store messages. Raises `ContentError` here; the future raises `EngineFailed` and `Closed`."""
        forms = [form_of(draft) for draft in drafts]  # first: if one draft cannot be encoded, none is stored
        job = AppendJob(drafts, forms, self._link.loop.create_future(), adopt)
        if self._link.closed is not None:
            raise self._link.refusal()
        self._pending.append(job)
        self._wake.set()
        return job.future

    @property
    def pid(self) -> int:
        """The server process of this connection, which its own notifications name."""
        return 0 if self._connection is None else self._connection.pgconn.backend_pid

    @property
    def seconds_in_flight(self) -> float:
        """The seconds since the batch in flight was sent first; 0 when there is none."""
        return 0.0 if self._in_flight is None else self._link.loop.time() - self._sent_at

    async def landed(self, seconds: float) -> None:
        """Wait, for a bounded time, until the result of the batch in flight is known."""
        if self._in_flight is not None:
            await asyncio.wait({self._in_flight}, timeout=seconds)

    def close(self) -> None:
        """Store pending messages, then end."""
        self._closing = True
        self._wake.set()

    def drop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    def refuse(self) -> None:
        """Refuse the waiting jobs: nothing more is stored."""
        pending, self._pending = self._pending, []
        for job in pending:
            if not job.future.done():
                job.future.set_exception(self._link.refusal())

    async def run(self) -> None:
        """Store messages until `close`."""
        while True:
            jobs = self._next()
            if jobs:
                await self._store(jobs)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _next(self) -> list[AppendJob]:
        """Return the jobs of the next transaction."""
        jobs: list[AppendJob] = []
        count = size = 0
        for position, job in enumerate(self._pending):
            if jobs and (
                count + len(job.drafts) > MAX_MESSAGES or size + job.size > MAX_BYTES or job.adopt or jobs[0].adopt
            ):
                self._pending = self._pending[position:]
                break
            if job.future.done():  # its publisher was cancelled
                continue
            jobs.append(job)
            count, size = count + len(job.drafts), size + job.size
        else:
            self._pending = []
        return jobs

    async def _store(self, jobs: list[AppendJob]) -> None:
        self.batch, self._sent_at = self.batch + 1, self._link.loop.time()
        self._in_flight = in_flight = self._link.loop.create_future()
        try:
            batch = await self._attempts(jobs)
        except Error as error:
            self._link.check_fatal(error)
            if len(jobs) > 1 and problems.judge(error) is Verdict.REFUSED:
                await self._store_each(jobs)
                return
            self._fail(jobs, self._link.failure(f"publishing to {self._link.address.shown}", error))
        except (TimeoutError, OSError) as error:
            self._fail(jobs, self._link.failure(f"publishing to {self._link.address.shown}", error))
        except BaseException:
            self._fail(jobs, self._link.refusal())
            raise
        else:
            if self.on_stored is not None:
                self.on_stored(batch)
        finally:
            if not in_flight.done():
                in_flight.set_result(None)
            if self._in_flight is in_flight:
                self._in_flight = None

    async def _store_each(self, jobs: list[AppendJob]) -> None:
        """Store each job of a batch alone, since the server has refused one of them."""
        try:
            for job in jobs:
                await self._store([job])
        except BaseException:
            self._fail(jobs, self._link.refusal())  # those that are left
            raise

    def _fail(self, jobs: list[AppendJob], error: Exception) -> None:
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(type(error)(*error.args))

    async def _attempts(self, jobs: list[AppendJob]) -> StoredBatch:
        """Store a batch, however often the connection breaks: the server recognizes a batch that it has stored."""
        drafts = [draft for job in jobs for draft in job.drafts]
        packed = PackedBatch(drafts, [form for job in jobs for form in job.forms], self._link)
        parameters = [self._id, self.batch, jobs[0].adopt, *packed.parameters]
        limit = STATEMENT_SECONDS + sum(job.size for job in jobs) / BYTES_A_SECOND
        deadline, attempt = self._link.loop.time() + max(PATIENCE, limit), 0
        while True:
            try:
                async with asyncio.timeout(limit):
                    if self._connection is None:
                        self._connection = await connect(self._link.address)
                    cursor = await self._connection.execute(self._sql, parameters, binary=True)
                    row = await cursor.fetchone()
            except (Error, TimeoutError, OSError) as error:
                verdict = problems.judge(error)
                if verdict in {Verdict.REFUSED, Verdict.FATAL} or self._link.loop.time() >= deadline:
                    raise
                if self._connection is not None and (verdict is Verdict.UNKNOWN or self._connection.closed):
                    self.drop()
            except BaseException:
                self.drop()
                raise
            else:
                assert row is not None
                return stored(jobs, drafts, packed, row)
            if self.on_broken is not None:
                self.on_broken()
            await self._link.pause(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1


def append_statement(schema: str) -> bytes:
    """Return the statement that stores a batch."""
    return _APPEND.replace("{s}", schema).encode()


def form_of(draft: Draft) -> Form:
    """Return the encoded parts of a draft. Raises `ContentError`, the publisher's fault."""
    form = encode(draft, LARGEST)
    if "\0" in form[0]:
        raise ContentError(
            draft.topic, f"its type {form[0]!r} contains a NUL character, which PostgreSQL does not allow"
        )
    return form


def stored(jobs: list[AppendJob], drafts: Sequence[Draft], packed: PackedBatch, row: tuple[Any, ...]) -> StoredBatch:
    """Return the messages of a batch from the answer of ``append``."""
    (before, *heads), ids, epochs, known_at, known_seq = row
    known = {at - 1: seq for at, seq in zip(known_at, known_seq, strict=True)}
    uids = [uid_of(epoch, name) for epoch, name in zip(epochs, packed.names, strict=True)]
    messages: list[Message[Any] | None] = []
    places: list[int] = []
    place = before
    for index, (draft, topic) in enumerate(zip(drafts, packed.topics, strict=True)):
        if index in known:
            messages.append(None)
            places.append(0)
            continue
        heads[topic - 1] += 1
        place += 1
        messages.append(draft.numbered(heads[topic - 1], uids[topic - 1]))
        places.append(place)
    topics = list(zip(ids, packed.names, epochs, heads, strict=True))
    return StoredBatch(jobs, before, messages, places, topics, known)
