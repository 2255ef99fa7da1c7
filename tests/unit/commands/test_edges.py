"""Edges of commands and of what runs once, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import telex
from telex.commands.spec import KINDS
from telex.commands.transports.local import MAX_UNSERVED_COMMANDS
from telex.commands.transports.services import BUCKET, SERVES_SECONDS, Heartbeat, ServiceRegistry
from telex.engines.contract.records import Record
from telex.errors import EngineFailed
from telex.hub import dispatcher_of
from telex.once import leases
from telex.once.engine_store import EngineStore
from telex.once.leases import KeyCounts, KeyLeases, Lease
from telex.once.machine import Complete, GiveBack, Renew, decode, encode, fingerprint
from telex.once.options import OnceOptions
from telex.once.store import OnceTransaction
from telex.runtime import Runtime
from tests.support.internals import engine_of, inbox_of, leases_of, records_of, transport_of
from tests.support.loops import idle
from tests.unit.commands.test_commands import Gate

ONCE = OnceOptions(lease=40.0, keep=1000.0, max_attempts=3, backoff=0.1, version=1, store=None)


@pytest.fixture
def gate() -> Gate:
    return Gate(asyncio.Event(), asyncio.Event())


class Store:
    """Records in memory, as `telex.once.OnceStore`; `before` is called before, and `after` after, each put."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.expires: list[float | None] = []
        self.fails = False
        self.fails_after = False
        self.clock: list[float] = [0.0]
        self.takes = 0.0
        """Seconds of `clock` that a put takes."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, bucket: str, key: str) -> Record | None:
        return self.records.get(key)

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        self.expires.append(expires)
        if self.fails:
            raise EngineFailed("putting a record", "the answer was lost")
        self.clock[0] += self.takes
        known = self.records.get(key)
        if (known.revision if known else 0) != revision:
            return None
        self.records[key] = Record(value, revision + 1)
        if self.fails_after:
            raise EngineFailed("putting a record", "the answer was lost")
        return revision + 1

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        return self.records.pop(key, None) is not None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OnceTransaction]:
        raise NotImplementedError("no test here asks for one")
        yield


def claims_on(store: Store) -> KeyLeases:
    return KeyLeases("build", ONCE, store, KeyCounts())


async def claimed(claims: KeyLeases, key: str = "a") -> Lease:
    held = await claims.claim(key, fingerprint("build", 1, 1), claims.owner(), lambda: None)
    assert isinstance(held, Lease)
    return held


# -- which hubs are there


@pytest.mark.parametrize(("ago", "serves"), [(SERVES_SECONDS - 2, True), (SERVES_SECONDS + 2, None), (3600.0, None)])
async def test_a_hub_without_a_heartbeat_serves_nothing(ago: float, serves: bool | None) -> None:
    assert SERVES_SECONDS == 15.0, "docs/commands.md says so"
    async with telex.Hub() as hub:
        records = records_of(hub)
        assert records is not None
        sign = msgspec.json.encode(Heartbeat(engine_of(hub).now() - ago, {"build": True}))
        assert await records.put(BUCKET, "other", sign, 0) is not None
        directory = ServiceRegistry(records, "this one", engine_of(hub).now)
        assert await directory.find("build", 0.0) is serves


async def test_the_inboxes_of_killed_hubs_are_removed(file: str) -> None:
    async with telex.Hub(file) as hub:
        records = records_of(hub)
        assert records is not None
        await hub.topic("$inbox:killed").publish(1)
        await hub.topic("$inbox:asleep").publish(1)
        assert await records.put(BUCKET, "asleep", msgspec.json.encode(Heartbeat(time(), {})), 0) is not None
        with pytest.raises(telex.NoHandler):
            await hub.call("nothing", 1)
        transport = transport_of(hub)
        assert transport is not None
        await transport.inbox.open()
        assert transport.inbox.sweeping is not None
        await transport.inbox.sweeping
        assert set(await hub.topics("$inbox:*")) == {"$inbox:asleep", inbox_of(hub)}


# -- bounds, and what is left behind


async def test_commands_that_wait_for_a_handler_are_bounded() -> None:
    async with telex.Hub() as hub:
        for number in range(MAX_UNSERVED_COMMANDS):
            await hub.send("later", number)
        with pytest.raises(telex.WouldBlock, match="wait for a handler"):
            await hub.send("later", MAX_UNSERVED_COMMANDS)
        await hub.send("another", 1)  # each command has its own


async def test_the_timer_of_progress_ends_with_a_command_that_is_cancelled(file: str, gate: Gate) -> None:
    hub = telex.Hub(file, close_timeout=0)
    pace = None

    @hub.command("build")
    async def build(ctx: telex.CommandContext[None]) -> None:
        nonlocal pace
        ctx.progress(0.5)
        transport = transport_of(hub)
        assert transport is not None
        (run,) = transport.worker.invocations.values()
        pace = run.throttle
        await gate.pass_through()

    async with hub:
        await hub.send("build")
        await gate.reached.wait()
        assert pace is not None
        assert pace.timer is not None
    assert pace.timer is None


# -- leases


async def test_a_lease_counts_from_when_its_renewal_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    now = store.clock
    monkeypatch.setattr(leases, "monotonic", lambda: now[0])
    claims = claims_on(store)
    held = await claimed(claims)
    now[0] = 15.0
    store.takes = 20.0
    held.renew(now[0])
    assert held.renewing is not None
    await held.renewing
    assert (held.renewed, held.lost, now[0]) == (15.0, False, 35.0)
    store.takes = 41.0  # longer than the lease: another may have it by now
    held.renew(now[0])
    await held.renewing
    assert held.lost
    claims.close()


@pytest.mark.parametrize("ago", [9.0, 11.0])
async def test_a_lease_is_renewed_after_a_quarter_of_it(ago: float, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(leases, "monotonic", lambda: store.clock[0])
    claims = claims_on(store)
    held = await claimed(claims)
    held.renew(ago)
    assert (held.renewing is not None) is (ago > 10)
    await held.stop()
    claims.close()


async def test_a_record_without_an_outcome_does_not_expire() -> None:
    store = Store()
    claims = claims_on(store)
    held = await claimed(claims)
    await held.put(Renew(held.entry.owner))
    await held.put(GiveBack(held.entry.owner))
    again = await claimed(claims)
    assert again.entry.attempt - again.entry.spared == 1, "one that was given back was no attempt"
    await again.put(Complete(again.entry.owner, msgspec.Raw(b"1"), 500.0, ""))
    *before, kept_until = store.expires
    assert len(before) >= 4
    assert set(before) == {None}
    assert kept_until == pytest.approx(time() + 500, abs=5), "an outcome is kept as long as it says"
    assert decode(store.records["a"].value).expires == kept_until
    claims.close()


async def test_a_claim_whose_answer_was_lost_is_known_by_its_value() -> None:
    store = Store()
    claims = claims_on(store)
    store.fails_after = True
    held = await claimed(claims)
    assert decode(store.records["a"].value).owner == held.entry.owner
    store.fails_after = False
    mine, theirs = held.entry, msgspec.structs.replace(held.entry, owner="another")
    store.fails = True
    for recorded, revision, expected in ((mine, 1, 2), (mine, 2, None), (theirs, 1, None)):
        store.records["b"] = Record(encode(recorded), 2)
        if expected is None:
            with pytest.raises(EngineFailed):
                await claims.write("b", mine, revision)
        else:
            assert await claims.write("b", mine, revision) == expected
    claims.close()


async def test_a_renewal_does_not_wait_for_its_own_transaction(file: str) -> None:
    hub = telex.Hub(f"{file}?synchronous=normal")
    ran: list[int] = []

    @hub.command("charge", once=True)
    async def charge(number: int, tx: telex.Transaction) -> int:
        ran.append(number)
        await tx.execute("CREATE TABLE charges (amount)")
        served = leases_of(hub, "charge")
        for held in list(served.held):  # near the end of its lease
            held.renew(inf)
        await idle()
        return number

    async with hub:
        assert await hub.call("charge", 5, key="a", timeout=10) == 5
    assert ran == [5]


async def test_an_outcome_of_a_key_is_the_same_however_often_it_is_asked_for() -> None:
    store: Any = Store()
    claims = claims_on(store)
    held = await claimed(claims)
    await held.stop()
    done = await held.put(Complete(held.entry.owner, msgspec.Raw(b"7"), 500.0, ""))
    assert done is not None
    again = await claims.claim("a", fingerprint("build", 1, 1), claims.owner(), lambda: None)
    assert again == done
    assert await claims.claim("a", fingerprint("build", 1, 2), claims.owner(), lambda: None) is None, "other content"
    claims.close()


async def test_a_follower_gets_an_outcome_once_however_often_it_is_requested(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with hub, hub.follow("build") as follower:
        assert [await hub.call("build", 1, key="a", timeout=20) for _ in range(3)] == [1, 1, 1]
        assert await hub.call("build", 2, key="b", timeout=20) == 2
        heard = [await follower.receive(timeout=20) for _ in range(2)]
        assert dispatcher_of(hub).table.servers["build"].counts.replayed == 2
        assert dispatcher_of(hub).table.servers["build"].counts.executed == 2
    assert [(outcome.key, outcome.replayed) for outcome in heard if isinstance(outcome, telex.Outcome)] == [
        ("a", False),
        ("b", False),
    ]


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        ("telex.CommandContext[int]", "context"),
        ("Message[Order]", "message"),
        ("telex.Hub", "hub"),
        ("Transaction", "tx"),
        ("shop.Order", "content"),
        ("list[Message]", "content"),
    ],
)
def test_an_annotation_that_is_text_is_told_by_its_name(hint: str, wanted: str) -> None:
    assert KINDS.of(hint) == wanted


async def test_each_sign_of_life_is_one_write(file: str) -> None:
    async with telex.Hub(file) as hub:
        records: Any = records_of(hub)
        written: list[int] = []

        class Counted:
            get, keys = records.get, records.keys

            async def put(self, *arguments: Any) -> int | None:
                revision: int | None = await records.put(*arguments)
                written.append(revision or 0)
                return revision

        counted: Any = Counted()
        directory = ServiceRegistry(counted, "this one", time)
        for _ in range(3):
            await directory.beat()
        assert len(written) == 3
        assert all(written)


def test_an_engine_without_records_runs_nothing_once() -> None:
    engine: Any = SimpleNamespace(records=None, store=None, now=time)
    runtime = Runtime(engine, "other://", None)
    with pytest.raises(telex.Misuse, match=r"once=True \(or give store=\) .* no records"):
        EngineStore(runtime)
