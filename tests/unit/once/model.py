"""All that can happen to one key, searched: workers run the real `step`, `watch` and `LeaseObservation.lapsed`.

A `World` is one record that is changed by compare-and-set, workers, and deliveries of the same command that wait to be
picked up. `Model.moves` says what can happen next: a worker reads, writes what `step` said of what it read, crashes,
stalls and goes on, or a tick of time passes. `search` goes through every world that can be reached, breadth first, so
that what breaks a property is found with the fewest moves. There is no chance in it.

Three things keep the worlds few, and lose none:

- Time is told from now: a watch has the age of what it watches, and what is older than a lease is as old as that. A
  worker's clock is its offset from that now, and the machine uses differences alone.
- Revisions are told by rank: they are compared, and never added to.
- Workers are alike: worlds that differ by who is who are one (not for clocks that are wrong, where they are not).

So the search has no bound in depth or ticks: it ends because the worlds do. `Model` has the bounds that there are.
``python -m tests.unit.once.model`` tells what is found.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from telex.once.machine import (
    Answer,
    Claim,
    Complete,
    Decision,
    Entry,
    Event,
    Fail,
    Failure,
    GiveBack,
    LeaseObservation,
    Renew,
    Write,
    step,
    watch,
)

NAMES = ("A", "B", "C")
GONE = "gone"
"""The owner's token when its worker has crashed: after that no worker has it."""
MONOTONIC = (0.0, 70_000.0, -300.0)
"""What each worker's monotonic clock shows, now."""
WALL = (0.0, 2.0, 0.0)
"""How wrong each worker's wall clock is: what breaks leases that are told by it."""
LEASE = 1.0
PERIOD = 1
"""A worker that has not stalled writes at least once in that many ticks: it renews in time."""
FOREVER = float("inf")
DECLINED = Failure("Declined", "declined", "the card was declined")
BROKEN = Failure("OSError", "unexpected", "the line is dead", final=False)

Doing = Literal["idle", "claim", "run", "renew", "complete", "fail", "release", "close"]
Pace = Literal["on time", "stalled", "late"]
Property = Literal["one outcome", "fenced", "answer", "attempts", "in time", "one at a time", "an end"]
SAFETY: frozenset[Property] = frozenset(("one outcome", "fenced", "answer", "attempts", "in time", "one at a time"))
SETTLING: tuple[tuple[Doing, str], ...] = (
    ("renew", "renews"),
    ("complete", "completes"),
    ("fail", "fails for good"),
    ("release", "fails"),
)


class Record(NamedTuple):
    entry: Entry | None
    revision: int
    until: float | None = None
    """When the lease ends, by the wall clock of who wrote it: only for the mutant that believes it."""


class Worker(NamedTuple):
    doing: Doing = "idle"
    seen: Record | None = None
    """What it has read and not yet acted on; when it runs, what it wrote. None: it has to read."""
    watch: LeaseObservation | None = None
    pace: Pace = "on time"
    """``late``: it has stalled, and what it worked on was delivered again."""


class Flight(NamedTuple):
    """A write that its worker has given up, and that the store may still get."""

    worker: int
    doing: Doing
    write: Write
    revision: int


class World(NamedTuple):
    record: Record
    age: int
    """Ticks since the record changed, by a clock that nobody has."""
    queued: int
    workers: tuple[Worker, ...]
    faults: int
    """How many more things may go wrong."""
    flight: Flight | None = None


class Move(NamedTuple):
    worker: int | None
    does: str
    world: World
    broken: Property | None = None
    fault: bool = False
    """Whether it is one of the things that need not happen: a crash, a stall and its end, an answer that is lost."""


@dataclass(frozen=True)
class Model:
    """The bounds of a search, and what is wrong with the machine, if anything is."""

    workers: int = 3
    deliveries: int = 2
    """Duplicates of the command. A crash delivers again what was worked on, and so does a stall."""
    faults: int = 2
    """Crashes, stalls, and writes of which the worker does not hear, together."""
    attempts: int = 2
    keep: float = FOREVER
    late: bool = False
    """Whether a write that was not heard of may come to the store later, or never."""
    compares: bool = True
    """False: a record is written without a look at its revision."""
    fences: bool = True
    """False: whoever comes may renew and settle."""
    wall: bool = False
    """True: a lease ends when the wall clock of who looks is past the time that who runs it wrote down."""

    def first(self) -> World:
        workers = (Worker(),) * self.workers
        return World(Record(None, 0), 0, self.deliveries, workers, self.faults)

    def moves(self, world: World) -> Iterator[Move]:
        """All that can happen next."""
        for number, worker in enumerate(world.workers):
            if worker.pace == "stalled":
                yield Move(number, "goes on", put(world, number, worker._replace(pace="late")), fault=True)
            elif worker.doing == "idle":
                if world.queued:
                    picked = put(world, number, Worker("claim"))
                    yield Move(number, "picks it up", picked._replace(queued=world.queued - 1))
                continue
            else:
                yield from self._work(world, number, worker)
                if world.faults:
                    stalled = put(world, number, worker._replace(pace="stalled"))
                    again = world.queued + (worker.pace == "on time")
                    stalled = stalled._replace(faults=world.faults - 1, queued=again)
                    yield Move(number, "stalls", stalled, fault=True)
            if world.faults:
                yield Move(number, "crashes", crashed(world, number), fault=True)
        if self._time_may_pass(world):
            yield Move(None, "a tick passes", ticked(world))
        if world.flight is not None:
            yield self._landed(world, world.flight)
        entry = world.record.entry
        if entry is not None and entry.ended and entry.expires <= 0:
            yield Move(None, "the store removes the record", world._replace(record=Record(None, 0), age=0))

    def _time_may_pass(self, world: World) -> bool:
        """Time does not pass over whoever is to renew, and neither is dead nor stalls."""
        return world.age < PERIOD or not _in_time(world, PERIOD)

    def _work(self, world: World, number: int, worker: Worker) -> Iterator[Move]:
        if worker.doing == "run":
            for doing, does in SETTLING:
                yield from self._act(world, number, worker, doing, does)
            if world.faults:  # it need not be, and as often as it is the key may be begun once more
                closed = self._act(world._replace(faults=world.faults - 1), number, worker, "close", "is closed")
                yield from (move._replace(fault=True) for move in closed)
        elif worker.seen is None:
            yield Move(number, "reads", put(world, number, worker._replace(seen=world.record)))
        elif worker.doing == "claim":
            yield from self._claim(world, number, worker, worker.seen)
        else:
            yield from self._act(world, number, worker, worker.doing, f"tries again to {worker.doing}")

    def _claim(self, world: World, number: int, worker: Worker, seen: Record) -> Iterator[Move]:
        clock = MONOTONIC[number]
        before = None if worker.watch is None else LeaseObservation(worker.watch.revision, worker.watch.since + clock)
        watched = watch(before, seen.revision, clock)
        lapsed = seen.entry is not None and watched.lapsed(seen.entry.lease, clock)
        if self.wall:
            lapsed = seen.until is not None and WALL[number] > seen.until
        watched = LeaseObservation(watched.revision, watched.since - clock)
        decision = self._decide(seen.entry, Claim("print", NAMES[number], LEASE, self.attempts, self.keep, lapsed))
        if decision is Answer.WAIT:
            yield Move(number, "waits", put(world, number, worker._replace(seen=None, watch=watched)))
        elif decision is Answer.REPLAY:
            broken: Property | None = None if _is_recorded(seen, world.record) else "answer"
            yield Move(number, "answers from the record", put(world, number, Worker()), broken)
        else:
            yield from self._write(world, number, worker, "claim", "claims", decision)

    def _act(self, world: World, number: int, worker: Worker, doing: Doing, does: str) -> Iterator[Move]:
        assert worker.seen is not None
        entry, owner = worker.seen.entry, NAMES[number]
        event: Event
        if doing == "renew":
            event = Renew(owner)
        elif doing == "complete":
            event = Complete(owner, msgspec.UNSET, self.keep, f"the result of attempt {entry.attempt if entry else 0}")
        elif doing == "close":
            event = GiveBack(owner)
        else:
            event = Fail(owner, DECLINED if doing == "fail" else BROKEN, self.keep, self.attempts)
        if not self.fences and entry is not None:
            event = msgspec.structs.replace(event, owner=entry.owner)
        decision = self._decide(entry, event)
        if decision is Answer.FENCED:
            yield Move(number, "is fenced", put(world, number, worker._replace(doing="claim", seen=None, watch=None)))
        else:
            yield from self._write(world, number, worker, doing, does, decision)

    def _decide(self, entry: Entry | None, event: Event) -> Decision:
        key = (entry, event)
        if key not in DECIDED:
            DECIDED[key] = step(entry, event, 0.0)
        return DECIDED[key]

    def _write(
        self, world: World, number: int, worker: Worker, doing: Doing, does: str, decision: Decision
    ) -> Iterator[Move]:
        assert isinstance(decision, Write), decision
        assert worker.seen is not None
        again = worker._replace(doing=doing, seen=None)
        if self.compares and worker.seen.revision != world.record.revision:
            yield Move(number, f"{does}: refused", put(world, number, again))
            return
        broken = unfit = self._broken(world, number, doing, decision)
        record = Record(decision.entry, newest(world) + 1, WALL[number] + LEASE if self.wall else None)
        written = world._replace(record=record, age=0)
        if decision.entry.ended:
            written = put(written, number, Worker())
        elif decision.entry.state == "released":
            written = put(written, number, Worker())._replace(queued=world.queued + (worker.pace == "on time"))
        else:
            written = put(written, number, worker._replace(doing="run", seen=record, watch=None))
            if sum(other.doing == "run" and other.pace == "on time" for other in written.workers) > 1:
                broken = broken or "one at a time"
        yield Move(number, f"{does}: {decision.why}", written, broken)
        if world.faults:
            unheard = put(world, number, again)._replace(record=record, age=0, faults=world.faults - 1)
            yield Move(number, f"{does}: {decision.why}, and does not hear of it", unheard, unfit, fault=True)
        if world.faults and self.late and world.flight is None:
            flight = Flight(number, doing, decision, worker.seen.revision)
            given_up = put(world, number, again)._replace(faults=world.faults - 1, flight=flight)
            yield Move(number, f"{does}, and it is under way", given_up, fault=True)

    def _landed(self, world: World, flight: Flight) -> Move:
        broken = self._broken(world, flight.worker, flight.doing, flight.write)
        record = Record(flight.write.entry, newest(world) + 1)
        landed = world._replace(record=record, age=0, flight=None)
        return Move(None, f"the store gets what was under way: {flight.write.why}", landed, broken, fault=True)

    def _broken(self, world: World, number: int, doing: Doing, write: Write) -> Property | None:
        """The property that this write breaks."""
        before, own = world.record.entry, GONE if number < 0 else NAMES[number]
        if before is not None and before.ended and before.expires > 0:
            return "one outcome"
        if write.entry.counted > self.attempts:
            return "attempts"
        if doing != "claim" and (before is None or before.state != "running" or before.owner != own):
            return "fenced"
        if doing == "claim" and before is not None and before.owner != own and _in_time(world, world.age):
            return "in time"
        return None


DECIDED: dict[tuple[Entry | None, Event], Decision] = {}


def put(world: World, number: int, worker: Worker) -> World:
    record, age, queued, workers, faults, flight = world
    workers = (*workers[:number], worker, *workers[number + 1 :])
    return World(record, age, queued, workers, faults, flight)


def newest(world: World) -> int:
    seen = [worker.seen.revision for worker in world.workers if worker.seen is not None]
    watched = [worker.watch.revision for worker in world.workers if worker.watch is not None]
    return max(world.record.revision, *seen, *watched, 0)


def crashed(world: World, number: int) -> World:
    queued = world.queued + (world.workers[number].pace == "on time")
    record = world.record
    if record.entry is not None and record.entry.state == "running" and record.entry.owner == NAMES[number]:
        record = record._replace(entry=msgspec.structs.replace(record.entry, owner=GONE))
    flight = world.flight
    if flight is not None and flight.worker == number:
        flight = flight._replace(worker=-1, write=_given(flight.write, GONE))
    return put(world, number, Worker())._replace(record=record, queued=queued, faults=world.faults - 1, flight=flight)


def _given(write: Write, owner: str) -> Write:
    return Write(msgspec.structs.replace(write.entry, owner=owner), write.why)


def _in_time(world: World, age: int) -> bool:
    """Whether somebody runs it who lives, does not stall, and wrote within the period."""
    entry = world.record.entry
    if entry is None or entry.state != "running" or entry.owner == GONE or age > PERIOD:
        return False
    return world.workers[NAMES.index(entry.owner)].pace != "stalled"


def _is_recorded(seen: Record, record: Record) -> bool:
    """Whether an answer from what was seen is the outcome that is recorded; past the retention it may be another."""
    entry = seen.entry
    return entry is not None and entry.ended and (entry.expires <= 0 or entry == record.entry)


def ticked(world: World) -> World:
    workers = tuple(
        worker if worker.seen is None and worker.watch is None else _older_worker(worker) for worker in world.workers
    )
    return world._replace(record=_older(world.record), age=min(world.age + 1, PERIOD + 1), workers=workers)


def _older_worker(worker: Worker) -> Worker:
    seen = None if worker.seen is None else _older(worker.seen)
    watch = worker.watch
    if watch is not None:
        watch = LeaseObservation(watch.revision, max(watch.since - 1, -LEASE - 1))
    return Worker(worker.doing, seen, watch, worker.pace)


def _older(record: Record) -> Record:
    entry, revision, until = record
    if entry is not None and entry.ended and 0 < entry.expires < FOREVER:
        entry = msgspec.structs.replace(entry, expires=entry.expires - 1)
    return Record(entry, revision, None if until is None else max(until - 1, -4.0))


# -- the same worlds


def same(world: World, alike: bool) -> World:
    """The one of all worlds that are the same which stands for them."""
    record, age, queued, before, faults, flight = world
    if flight is not None and flight.revision != record.revision:
        flight = None  # it will be refused whenever it comes
    workers = [worker if worker.watch is None else _forgets(worker, record.revision) for worker in before]
    if record.entry is not None and record.entry.state == "released" and record.entry.owner != GONE:
        record = _owned(record, GONE)  # nothing asks who it was
    if alike:
        owner = "" if record.entry is None else record.entry.owner
        ranks = [_rank(worker, name == owner) for worker, name in zip(workers, NAMES, strict=False)]
        if ranks != sorted(ranks):
            order = sorted(range(len(workers)), key=ranks.__getitem__)
            names = {NAMES[old]: NAMES[new] for new, old in enumerate(order)}
            workers = [_renamed_worker(workers[old], names) for old in order]
            record = _renamed(record, names)
            if flight is not None and flight.worker >= 0:
                number = order.index(flight.worker)
                flight = flight._replace(worker=number, write=_given(flight.write, NAMES[number]))
    found = {record.revision, 0}
    for worker in workers:
        if worker.seen is not None:
            found.add(worker.seen.revision)
        if worker.watch is not None:
            found.add(worker.watch.revision)
    if max(found) >= len(found):
        rank = {revision: number for number, revision in enumerate(sorted(found))}
        record = Record(record.entry, rank[record.revision], record.until)
        flight = None if flight is None else flight._replace(revision=record.revision)
        workers = [_ranked(worker, rank) for worker in workers]
    return World(record, age, queued, tuple(workers), faults, flight)


def _forgets(worker: Worker, revision: int) -> Worker:
    """A watch of a revision that is neither recorded nor in the worker's hands never says anything again."""
    doing, seen, watch, pace = worker
    if watch is None or watch.revision == revision or (seen is not None and seen.revision == watch.revision):
        return worker
    return Worker(doing, seen, None, pace)


def _rank(worker: Worker, owner: bool) -> tuple[object, ...]:
    doing, seen, watch, pace = worker
    watched = -1.0 if watch is None else watch.revision - watch.since / 8
    return (owner, doing, pace, -1 if seen is None else seen.revision, watched)


def _owned(record: Record, owner: str) -> Record:
    assert record.entry is not None
    return Record(msgspec.structs.replace(record.entry, owner=owner), record.revision, record.until)


def _renamed(record: Record, names: dict[str, str]) -> Record:
    if record.entry is None:
        return record
    name = names.get(record.entry.owner, GONE)
    return record if name == record.entry.owner else _owned(record, name)


def _renamed_worker(worker: Worker, names: dict[str, str]) -> Worker:
    doing, seen, watch, pace = worker
    return worker if seen is None else Worker(doing, _renamed(seen, names), watch, pace)


def _ranked(worker: Worker, rank: dict[int, int]) -> Worker:
    doing, seen, watch, pace = worker
    if seen is None and watch is None:
        return worker
    if seen is not None:
        seen = Record(seen.entry, rank[seen.revision], seen.until)
    if watch is not None:
        watch = LeaseObservation(rank[watch.revision], watch.since)
    return Worker(doing, seen, watch, pace)


# -- the search


@dataclass(frozen=True)
class Found:
    """What a search came to: how many worlds and moves there are, and how many moves the furthest world is away. When a
    property is ``broken``, the fewest moves to that.
    """

    worlds: int
    moves: int
    depth: int
    done: frozenset[str]
    """What was done in any of the moves."""
    broken: Property | None = None
    trace: tuple[str, ...] = ()


def search(model: Model, properties: frozenset[Property] = SAFETY, *, alike: bool = True) -> Found:
    """Go through all worlds, or until one of the ``properties`` is broken. When none is, see whether every world can
    come to an end. The names in a trace are right when workers are not taken for ``alike``.
    """
    assert not (model.wall and alike), "clocks that are wrong are not alike"
    collecting = gc.isenabled()
    gc.disable()  # nothing here is garbage: it would look at all worlds again and again
    try:
        return Search(model, properties, alike).run()
    finally:
        if collecting:
            gc.enable()


class Search:
    """The worlds of a search, numbered as they were found, and how each was come to."""

    def __init__(self, model: Model, properties: frozenset[Property], alike: bool) -> None:
        self.model, self.properties, self.alike = model, properties, alike
        first = same(model.first(), alike)
        self.index = {first: 0}
        self.worlds = [first]
        self.came: list[tuple[int, int | None, str]] = [(-1, None, "")]
        self.depths = [0]
        self.before: list[list[int]] = [[]]
        """From where each can be come to when nothing goes wrong."""
        self.done: set[str] = set()

    def run(self) -> Found:
        moves = 0
        for at, world in enumerate(self.worlds):  # it grows meanwhile: that is the queue
            for move in self.model.moves(world):
                moves += 1
                self.done.add(move.does)
                if move.broken in self.properties:
                    trace = (*self.trace(at), told(move.worker, move.does))
                    return self.found(moves, self.depths[at] + 1, move.broken, trace)
                to = self.number(at, move)
                if not move.fault:
                    self.before[to].append(at)
        stuck = self.stuck()
        if stuck is not None:
            return self.found(moves, self.depths[stuck], "an end", self.trace(stuck))
        return self.found(moves, self.depths[-1])

    def number(self, at: int, move: Move) -> int:
        """Of the world that a move from ``at`` leads to."""
        world = same(move.world, self.alike)
        to = self.index.setdefault(world, len(self.worlds))
        if to == len(self.worlds):
            self.worlds.append(world)
            self.came.append((at, move.worker, move.does))
            self.depths.append(self.depths[at] + 1)
            self.before.append([])
        return to

    def stuck(self) -> int | None:
        """The first world from which, if nothing more goes wrong and whoever stalls stalls for ever, the others do not
        come to their answers, whatever they do.
        """
        ways = [number for number, world in enumerate(self.worlds) if over(world)]
        reached = bytearray(len(self.worlds))
        for number in ways:
            reached[number] = 1
        while ways:
            for number in self.before[ways.pop()]:
                if not reached[number]:
                    reached[number] = 1
                    ways.append(number)
        number = reached.find(0)
        return None if number < 0 else number

    def trace(self, at: int) -> tuple[str, ...]:
        """The fewest moves to a world."""
        moves: list[str] = []
        while at:
            at, worker, does = self.came[at]
            moves.append(told(worker, does))
        return tuple(reversed(moves))

    def found(self, moves: int, depth: int, broken: Property | None = None, trace: tuple[str, ...] = ()) -> Found:
        return Found(len(self.worlds), moves, depth, frozenset(self.done), broken, trace)


def over(world: World) -> bool:
    """Whether all have their answer but who stalls, of which what it worked on was delivered again."""
    return not world.queued and all(worker.doing == "idle" or worker.pace == "stalled" for worker in world.workers)


def told(worker: int | None, does: str) -> str:
    return does if worker is None else f"{NAMES[worker]} {does}"


# -- what is searched


def mutants() -> dict[str, tuple[Model, frozenset[Property]]]:
    """What is wrong with each machine, and which properties to look at."""
    return {
        "the write does not compare": (Model(compares=False), SAFETY),
        "the write does not compare: outcomes": (Model(compares=False), frozenset({"one outcome"})),
        "the owner is not asked for": (Model(fences=False), SAFETY),
        "leases are told by wall clocks": (Model(wall=True), SAFETY),
    }


def main() -> None:
    for name, model in (("three workers", Model(late=True)), ("retention", Model(workers=2, faults=1, keep=2))):
        found = search(model)
        print(f"{name}: {found.worlds} worlds, {found.moves} moves, depth {found.depth}: {found.broken or 'clean'}")
    for name, (model, properties) in mutants().items():
        found = search(model, properties, alike=False)
        print(f"\n{name}: {found.broken}", *found.trace, sep="\n  ")


if __name__ == "__main__":
    main()
