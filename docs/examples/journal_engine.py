"""An engine for one process at a time: it appends every change to one file, and survives kill -9."""

import asyncio
import fcntl
import os
import struct
from collections.abc import Callable, Coroutine, Sequence
from heapq import nlargest
from pathlib import Path
from secrets import randbits, token_hex
from time import monotonic, time
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from telex import ConnectFailed, EngineFailed, Lost, Message, Misuse
from telex.engines import Draft, Interest, Log, Retention, Start, contract
from telex.engines.forms import decode, encode
from telex.log.start import find
from telex.names import Pattern

R = TypeVar("R")
Row = tuple[int, int, str | None, float, str | None, str | None, str | None, Any]
"""Place in the file, number in the topic, id, time, type, key, headers, content: as `telex.engines.forms` has them."""
Stored = tuple[str, str, str, int, Row]
"""A topic, its epoch, the number from which its ids count in hexadecimal, the size of a message, and its row."""
HEADER = struct.Struct(">II")  # the bytes of a record, and their CRC-32
MAX_MESSAGE_BYTES = 16 << 20
PROMISES = ("durable", "ordered", "history", "counted_gaps")


class Change(msgspec.Struct, omit_defaults=True):
    """One record of the file. A record is in the file whole or not at all, so all of a change happens or none of it."""

    rows: list[Stored] = []
    rules: list[tuple[str, Retention]] = []
    removed: str | None = None


class JournalEngine:
    """The engine and its store in one object, on the file ``path``."""

    guarantees: contract.Guarantees = contract.Guarantees(
        **{name: name in PROMISES for name in contract.Guarantees.__struct_fields__}
    )
    groups: Any = None
    records: Any = None
    outbox: Any = None

    def __init__(self, path: Path) -> None:
        self.store: contract.Store | None = self
        self._path, self._file, self._size, self._place = path, -1, 0, 0
        self._logs: dict[str, Log] = {}  # the content of their messages is the row
        self._rules: dict[str, Retention] = {}
        self._interest = Interest()
        self.follow, self.unfollow = self._interest.follow, self._interest.unfollow
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self, events: contract.EngineEvents, decoder: contract.Decoder) -> None:
        self._events, self._decoder = events, decoder
        try:
            await self._finished(asyncio.to_thread(self._load))
        except BaseException:  # failed or cancelled, it leaves nothing behind
            await self.close()
            raise

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def now(self) -> float:
        return monotonic()

    def log(self, topic: str, retention: Retention) -> Log:
        stored = self._log(topic)
        log = Log(topic, stored.epoch, retention, stored.uid, remote=True)
        log.begin(stored.end)
        return log

    def transaction(self, publish: Callable[[Draft], object]) -> contract.EngineTransaction:
        raise Misuse("use a transaction", "this engine has none; use sqlite:///file.db")

    async def append(self, drafts: Sequence[Draft], due: Any = None, *, adopt: bool = False) -> Sequence[Message[Any]]:
        return await self._finished(self._commit(lambda: self._number(drafts)))

    async def cancel(self, topic: str, id: str) -> bool:
        return False  # called only for `delayed`, which it does not declare

    async def read(self, topic: str, first: int, end: int, limit: int = 1024) -> Sequence[Message[Any] | Lost]:
        log, first = self._log(topic), max(first, self._log(topic).keep(time()))
        rows = [
            message.content for message in log.slice(first, max(first, min(end, first + min(limit, 1024), log.end)))
        ]
        return decode(rows, topic, log.uid, self._decoder.decode)

    async def read_pattern(self, patterns: Sequence[str], count: int) -> Sequence[Message[Any]]:
        logs = [log for topic, log in self._logs.items() if any(Pattern(each).matches(topic) for each in patterns)]
        rows = nlargest(count, ((message.content, log.name) for log in logs for message in log.history(time())))
        return [decode([row], topic, self._log(topic).uid, self._decoder.decode)[0] for row, topic in reversed(rows)]

    async def find(self, topic: str, start: Start, now: float, end: int = 0) -> contract.FoundStart:
        async with self._turn:  # after the changes that were asked for before
            number, lost = find(self._log(topic), start, now)
        return contract.FoundStart(number, lost, max(0, end - number))

    def extent(self, topic: str) -> contract.Extent:
        first, end = self._log(topic).keep(time()), self._log(topic).end
        return contract.Extent(first, end, end - 1, end - first)

    async def topics(self) -> list[str]:
        return sorted(topic for topic, log in self._logs.items() if log.end > 1)

    async def remove(self, topic: str) -> bool:
        found = topic in await self.topics()
        await self._finished(self._commit(lambda: (Change(removed=topic), [])))
        return found

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        await self._finished(self._commit(lambda: (Change(rules=list(rules)), [])))

    async def _finished(self, work: Coroutine[Any, Any, R]) -> R:
        """Await work that ends even when the caller is cancelled, at the latest while the engine closes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _commit(self, plan: Callable[[], tuple[Change, list[Message[Any]]]]) -> list[Message[Any]]:
        async with self._turn:
            change, messages = plan()
            await asyncio.to_thread(self._write, msgspec.msgpack.encode(change))
            self._apply(change)
            if change.removed is not None:
                self._events.gap(change.removed, None, "epoch")
            self._events.deliver([message for message in messages if self._interest.has(message.topic)])
            return messages

    def _load(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = self._path.read_bytes()
        except OSError as error:
            raise ConnectFailed(str(self._path), f"{error}; make its folder, end other processes") from None
        while self._size + HEADER.size <= len(data):
            length, checksum = HEADER.unpack_from(data, self._size)
            end = self._size + HEADER.size + length
            record = data[self._size + HEADER.size : end]
            if (len(record), crc32(record)) != (length, checksum):
                if end < len(data):
                    raise ConnectFailed(str(self._path), f"it is damaged at byte {self._size}; restore a backup")
                break  # kill -9 cut off the last write, which was not acknowledged
            self._apply(msgspec.msgpack.decode(record, type=Change))
            self._size = end
        os.ftruncate(self._file, self._size)

    def _write(self, record: bytes) -> None:
        data = HEADER.pack(len(record), crc32(record)) + record
        try:
            if os.write(self._file, data) < len(data):
                raise OSError("the disk is full")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise EngineFailed(f"writing to {self._path}", f"{error}; free some space") from None
        self._size += len(data)

    def _number(self, drafts: Sequence[Draft]) -> tuple[Change, list[Message[Any]]]:
        rows, messages, ends = list[Stored](), list[Message[Any]](), dict[str, int]()
        for draft in drafts:
            type_, key, headers, content, size = encode(draft, MAX_MESSAGE_BYTES)
            log = self._log(draft.topic)
            seq = ends[log.name] = ends.get(log.name, log.end - 1) + 1
            row = (self._place + len(rows), seq, draft.id, draft.time, type_, key, headers, content)
            rows.append((log.name, log.epoch, f"{log.uid:x}", size, row))
            messages.append(draft.numbered(seq, log.uid, size))
        return Change(rows), messages

    def _apply(self, change: Change) -> None:
        if change.rules:
            self._rules = {k: v for k, v in self._rules.items() if k not in dict(change.rules)} | dict(change.rules)
            for log in self._logs.values():
                log.retain(self._rule(log.name))
        for topic, epoch, uid, size, row in change.rows:
            log = self._log(topic)
            log.epoch, log.uid = epoch, int(uid, 16)
            log.append(Message(row, topic, row[1], row[2] or log.uid, row[3], None, row[4], size), row[3])
            self._place = row[0] + 1
        if change.removed is not None:
            self._logs.pop(change.removed, None)

    def _log(self, topic: str) -> Log:
        if topic not in self._logs:
            self._logs[topic] = Log(topic, token_hex(6), self._rule(topic), randbits(74))
        return self._logs[topic]

    def _rule(self, topic: str) -> Retention:
        return [Retention(), *(rule for name, rule in self._rules.items() if Pattern(name).matches(topic))][-1]
