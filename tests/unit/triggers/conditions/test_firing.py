"""The message of a firing: its id is the same in every process, and names are checked for it."""

from collections.abc import Callable
from datetime import UTC

import pytest

import telex
from telex.triggers.conditions.firing import by_hand, check_name, firing_of, moment


@pytest.mark.parametrize(
    ("name", "match"),
    [("x" * 129, "at most 128"), ("x:" * 90 + "x", "at most 128"), ("family\u200dname", "printable")],
)
def test_a_name_that_no_id_can_begin_with_is_refused(name: str, match: str) -> None:
    hub = telex.Hub()
    declarations: tuple[Callable[[], object], ...] = (
        lambda: hub.every(1, topic=name),
        lambda: hub.after(1, topic="t", name=name),
        lambda: hub.when(hub.variable("v", 0) > 1, name=name),
    )
    for declare in declarations:
        with pytest.raises(telex.BadName, match=match):
            declare()
    assert hub.triggers() == ()
    hub.every(1, topic=name, name="short")


async def test_the_id_of_a_firing_is_known_to_who_publishes_it_again() -> None:
    # On the clock of the machine, where a firing is published without writing its id down.
    async with (
        telex.Hub("memory://") as hub,
        hub.topic("ticks").subscribe() as ticks,
        hub.topic("once:*").subscribe() as ends,
    ):
        hub.every("10ms", topic="ticks")
        hub.after("10ms", topic="once:1")
        first, second = await ticks.receive(timeout=20), await ticks.receive(timeout=20)
        assert first.id == f"ticks@{first.content.scheduled.isoformat()}" != second.id
        assert await hub.topic("ticks").publish(first.content, id=first.id) is first
        assert await hub.topic("ticks").publish(second.content, id=second.id) is second
        end = await ends.receive(timeout=20)
        assert end.id == f"once:1@{end.content.scheduled.isoformat()}"


INSTANT = 1_780_000_000.25


def test_the_id_of_a_firing_is_its_name_and_instant_in_every_process() -> None:
    firing, id = firing_of("tick", INSTANT, 3)
    assert firing == telex.Firing("tick", moment(INSTANT), 3)
    assert id == f"tick@{firing.scheduled.isoformat()}"
    assert firing_of("tick", INSTANT, 4)[1] == id, "another number, the same instant"
    assert firing_of("tick", INSTANT + 1e-6, 3)[1] != id


@pytest.mark.parametrize("key", ["ann", "a" * 64, "!~"])
def test_a_plain_key_is_in_the_id(key: str) -> None:
    assert firing_of("tick", INSTANT, 1, key)[1].endswith(f":{key}")


@pytest.mark.parametrize("key", ["a" * 65, "two words", "é", "a\nb", "\ud800", "\x7f"], ids=ascii)
def test_another_key_is_in_the_id_by_its_digest(key: str) -> None:
    firing, id = firing_of("tick", INSTANT, 1, key, value=7)
    assert (firing.key, firing.value) == (key, 7)
    digest = id.rpartition(":")[2]
    assert len(digest) == 64
    assert int(digest, 16)
    assert telex.Message.new(firing, id=id).id == id, "it may be the id of a message"


def test_firings_of_two_keys_have_two_ids() -> None:
    keys = [None, "", "a", "b", "a" * 65, "a" * 66, "é", "è"]
    assert len({firing_of("tick", INSTANT, 1, key)[1] for key in keys}) == len(keys)


def test_a_firing_by_hand_is_no_duplicate_of_one_that_is_due() -> None:
    firing, id = by_hand("tick", INSTANT, 5)
    assert firing == firing_of("tick", INSTANT, 5)[0]
    assert id == f"{firing_of('tick', INSTANT, 5)[1]}#5"
    assert by_hand("tick", INSTANT, 6)[1] != id


def test_instants_are_in_utc() -> None:
    assert moment(INSTANT).tzinfo is UTC
    assert moment(INSTANT).timestamp() == INSTANT


def test_a_name_may_have_128_printable_characters() -> None:
    assert check_name("x" * 128) == "x" * 128
    assert check_name("größe:a") == "größe:a"
    for name in ("x" * 129, "a\u200db", "a\nb"):
        with pytest.raises(telex.BadName, match="give another one") as raised:
            check_name(name)
        assert raised.value.name == name
