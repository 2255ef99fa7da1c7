"""Who is there, with time as an argument."""

import pytest

from telex.chat.presence import Person, Presence
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
