"""Consumer groups of the schema: starts, settlements, and messages that cannot be read."""

from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

import pytest
from psycopg.adapt import Transformer
from psycopg.pq import Format

import telex
from telex.engines import Groups, Settlement
from telex.engines.contract.groups import Unreadable
from telex.engines.postgres import PostgresEngine
from telex.engines.postgres.groups import settle_parameters
from telex.testing.conformance.rig import Rig, message
from telex.testing.conformance.suite import settle_dead
from tests.unit.engines.postgres.rigs import admin


def groups_of(rig: Rig) -> Groups:
    assert rig.engine.groups is not None
    return rig.engine.groups


def plain(parameter: Any) -> Any:
    """A parameter as the server reads it."""
    return Transformer().get_loader(parameter.oid, Format.BINARY).load(parameter.data)


def test_acks_alone_need_no_actions() -> None:
    group, pattern, positions, tokens, *rest = settle_parameters(
        "g", "t", [Settlement(n, 10 + n, "ack") for n in (1, 2)]
    )
    assert (group, pattern, plain(positions), plain(tokens), rest) == ("g", "t", [1, 2], [11, 12], [None] * 3)


def test_settlements_of_all_kinds_have_their_actions_times_and_reasons() -> None:
    settlements = [
        Settlement(1, 1, "ack"),
        Settlement(2, 1, "nack", 1.5),
        Settlement(3, 1, "reject", reason="a\0b"),
        Settlement(4, 1, "extend", 30.0),
    ]
    actions, seconds, reasons = (plain(each) for each in settle_parameters("g", "t", settlements)[4:])
    assert actions == [0, 1, 2, 3]
    assert seconds == [0.0, 1.5, 0.0, 30.0]
    assert reasons == ["", "", "a\ufffdb", ""], "PostgreSQL stores no NUL"


@pytest.mark.slow
async def test_a_group_starts_where_its_first_member_says(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        store = rig.engine.store
        assert store is not None
        times = [time() - ago for ago in (300, 200, 100)]
        sent = await store.append([message("starts", n, published=moment) for n, moment in enumerate(times)])
        starts: dict[str, Any] = {
            "new": "new",
            "earliest": "earliest",
            "back": 1,
            "moment": datetime.fromtimestamp(times[1], UTC),
            "ago": timedelta(seconds=150),
            "position": sent[0].seq,
        }
        epoch = rig.log("starts").epoch
        starts["position"] = telex.Position(sent[0].seq, epoch)
        found = {}
        for group, start in starts.items():
            await rig.join(group, "starts", start)
            await rig.join(group, "starts", "earliest")  # by a later member
            found[group] = [delivery.message.content for delivery in await rig.fetch(group, "starts")]
    expected = {"new": [], "earliest": [0, 1, 2], "back": [2], "moment": [1, 2], "ago": [2], "position": [1, 2]}
    assert found == expected


@pytest.mark.slow
async def test_a_position_is_no_start_of_a_pattern(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        with pytest.raises(telex.BadOption, match="a position belongs to one topic"):
            await rig.join("g", "patterns:*", telex.Position(1, "e"))


@pytest.mark.slow
async def test_dead_letters_are_listed_delivered_again_and_deleted(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        groups = groups_of(rig)
        await rig.send("dead", "a", "b")
        await rig.join("undertaker", "dead")
        for delivery in await rig.fetch("undertaker", "dead"):
            assert await rig.settle("undertaker", "dead", delivery, "reject", reason="broken")
        one, two = await groups.dead("undertaker")
        assert [(letter.message.content, letter.reason, letter.attempts) for letter in (one, two)] == [
            ("a", "broken", 1),
            ("b", "broken", 1),
        ]
        assert await groups.dead("another") == []
        assert len(await groups.dead("undertaker", 1)) == 1
        assert await settle_dead(groups, "undertaker", "dead", one.position, "retry")
        assert await settle_dead(groups, "undertaker", "dead", two.position, "drop")
        assert not await settle_dead(groups, "undertaker", "dead", two.position, "drop")
        assert [delivery.message.content for delivery in await rig.fetch("undertaker", "dead")] == ["a"]
        assert await groups.dead("undertaker") == []


@pytest.mark.slow
async def test_a_message_that_cannot_be_read_is_given_apart(engines: str, postgres: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig, admin(postgres) as connection:
        await rig.send("damaged", 1, 2, 3)
        await rig.join("g", "damaged")
        await connection.execute(
            "UPDATE engines.messages m SET content = '{' FROM engines.topics t "
            "WHERE t.id = m.topic AND t.name = 'damaged' AND m.seq = 2"
        )
        fetched = await groups_of(rig).fetch("g", "damaged", 10, 30.0, "me", 0.0)
        assert [delivery.message.content for delivery in fetched.deliveries] == [1, 3]
        (damaged,) = fetched.unreadable
        assert isinstance(damaged.message.content, Unreadable)
        assert damaged.message.seq == 2
        assert await rig.settle("g", "damaged", damaged, "reject")


@pytest.mark.slow
async def test_a_group_is_paused_and_forgotten(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        groups = groups_of(rig)
        assert not await groups.change("idle", "paused", "pause"), "there is no such group"
        await rig.send("paused", 1)
        await rig.join("idle", "paused")
        assert await groups.change("idle", "paused", "pause")
        assert await rig.fetch("idle", "paused") == []
        assert [info.paused for info in await groups.groups() if info.group == "idle"] == [True]
        assert await groups.change("idle", "paused", "resume")
        assert len(await rig.fetch("idle", "paused")) == 1
        assert await groups.change("idle", "paused", "forget")
        assert [info for info in await groups.groups() if info.group == "idle"] == []
