"""The people in each room, with time as an argument."""

import pytest

from telex.chat.presence import Person, Presence, Visitor
from telex.gateway import Refused


def test_several_windows_are_one_person() -> None:
    presence = Presence(grace=5)
    assert presence.enter("lobby", "Ann", "key of ann")
    assert not presence.enter("lobby", "Ann", "key of ann")
    assert presence.people("lobby") == [Person("Ann", 2)]
    assert not presence.leave("lobby", "Ann", 0.0)
    assert presence.due() is None
    assert not presence.leave("lobby", "Ann", 1.0)
    assert presence.due() == 6.0
    assert presence.expire(5.9) == []
    assert presence.expire(6.0) == [("lobby", "Ann")]
    assert presence.people("lobby") == []
    assert presence.due() is None


def test_a_reload_is_no_coming_and_going() -> None:
    presence = Presence(grace=5)
    presence.enter("lobby", "Ann", "key of ann")
    presence.leave("lobby", "Ann", 0.0)
    assert not presence.enter("lobby", "Ann", "key of ann")
    assert presence.expire(100.0) == []
    assert presence.leave("lobby", "Ann", 100.0, at_once=True)
    assert not presence.holds("lobby", "Ann")


def test_a_name_is_held_by_its_key() -> None:
    presence = Presence(grace=5)
    presence.enter("lobby", "Ann", "key of ann")
    for name, key in (("Ann", "another key"), ("ANN", "another key"), ("ann", "key of ann")):
        with pytest.raises(Refused, match="Ann is in this room already"):
            presence.enter("lobby", name, key)
    assert presence.enter("garden", "Ann", "another key")
    # Whoever is gone for good gives the name up.
    presence.leave("lobby", "Ann", 0.0)
    presence.expire(5.0)
    assert presence.enter("lobby", "ann", "another key")


def test_a_name_that_looks_like_one_that_is_there_is_taken() -> None:
    presence = Presence(grace=5)
    presence.enter("lobby", "Ann", "key of ann")
    for name in ("\u0410nn", "ANN", "A\u043fn"[:1] + "nn"):
        with pytest.raises(Refused, match="Ann is in this room already"):
            presence.enter("lobby", name, "another key")
    assert presence.holds("lobby", "\u0410NN")
    presence.leave("lobby", "Ann", 0.0, at_once=True)
    assert presence.is_empty("lobby")
    assert presence.enter("lobby", "\u0410nn", "another key")


def test_the_look_of_one_who_leaves_stays_with_the_other() -> None:
    presence = Presence(grace=5)
    presence.enter("lobby", "Ann", "key of ann")
    presence.enter("lobby", "Bob", "key of bob")
    presence.leave("lobby", "Bob", 0.0, at_once=True)
    assert presence.holds("lobby", "Ann")
    assert not presence.holds("lobby", "Bob")


def of(presence: Presence, *rooms: str) -> dict[str, list[Visitor]]:
    return {room: presence.visitors(room) for room in rooms}


def test_people_on_another_server_are_in_the_room() -> None:
    here, there = Presence(grace=5), Presence(grace=5)
    here.enter("lobby", "Ann", "key of ann")
    there.enter("lobby", "Bob", "key of bob")
    assert here.report("there", of(there, "lobby"), whole=False) == ["lobby"]
    assert here.report("there", of(there, "lobby"), whole=True) == [], "nothing changed"
    assert here.people("lobby") == [Person("Ann", 1), Person("Bob", 1)]
    with pytest.raises(Refused, match="Bob is in this room already"):
        here.enter("lobby", "BOB", "another key")
    # The same browser, on both servers: it came once, and goes once.
    assert not here.enter("lobby", "Bob", "key of bob")
    assert here.people("lobby") == [Person("Ann", 1), Person("Bob", 2)]
    assert here.leave("lobby", "Bob", 0.0, at_once=True)
    assert here.has("lobby", "Bob")


def test_a_report_tells_no_secret_of_a_browser() -> None:
    presence = Presence(grace=5)
    presence.enter("lobby", "Ann", "key of ann")
    assert "key of ann" not in repr(presence.visitors("lobby"))


def test_a_report_replaces_the_report_before() -> None:
    here, there = Presence(grace=5), Presence(grace=5)
    there.enter("lobby", "Bob", "key of bob")
    there.enter("garden", "Bob", "key of bob")
    assert sorted(here.report("there", of(there, "lobby", "garden"), whole=True)) == ["garden", "lobby"]
    assert here.report("there", {"lobby": []}, whole=False) == ["lobby"]
    assert here.is_empty("lobby")
    assert not here.is_empty("garden")
    assert here.report("there", {}, whole=True) == ["garden"]
    assert here.is_empty("garden")


def test_people_of_a_server_that_ended_are_gone_unless_they_are_on_another() -> None:
    here, there = Presence(grace=5), Presence(grace=5)
    there.enter("lobby", "Ann", "key of ann")
    there.enter("lobby", "Bob", "key of bob")
    here.report("there", of(there, "lobby"), whole=True)
    here.enter("lobby", "Ann", "key of ann")
    assert here.forget("there") == [("lobby", "Bob")]
    assert here.people("lobby") == [Person("Ann", 1)]
    assert here.forget("there") == []
