"""Typed names, rooms and texts come out harmless, comparable and bounded."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import names
from telex.chat.words import MAX_TEXT_LENGTH, clean_name, clean_room, clean_text, looks
from telex.gateway import Refused

NAMES = [
    ("Ann", "Ann"),
    ("  Ann \t B ", "Ann B"),
    ("Ａｎｎ", "Ann"),
    ("Ann\u202eevil", "Annevil"),
    ("A\u200bn\u00adn", "Ann"),
    ("An\x00n\x1b[31m", "Ann[31m"),
    ("Cle\u0301o", "Cléo"),
    ("<b>Ann</b>", "<b>Ann</b>"),
    ("李", "李"),
]


@pytest.mark.parametrize(("typed", "shown"), NAMES)
def test_names(typed: str, shown: str) -> None:
    assert clean_name(typed) == shown


@pytest.mark.parametrize("typed", ["", " ", "\u200b", "\u202e\u2066", "x" * 33, None, 7, ["Ann"]])
def test_names_that_are_none(typed: object) -> None:
    with pytest.raises(Refused):
        clean_name(typed)


ROOMS = [
    ("lobby", "lobby"),
    ("Lobby", "lobby"),
    ("#Lobby", "lobby"),
    ("the garden", "the-garden"),
    ("a:b*c>d/e", "a-b-c-d-e"),
    ("Straße", "strasse"),
    ("ＬＯＢＢＹ", "lobby"),
]


@pytest.mark.parametrize(("typed", "id"), ROOMS)
def test_rooms(typed: str, id: str) -> None:
    assert clean_room(typed) == id


@pytest.mark.parametrize("typed", ["", "#", ":::", "\u200b", "x" * 65, None])
def test_rooms_that_are_none(typed: object) -> None:
    with pytest.raises(Refused):
        clean_room(typed)


@given(st.text())
def test_a_room_is_one_token_and_stays_itself(typed: str) -> None:
    try:
        room = clean_room(typed)
    except Refused:
        return
    assert names.check_topic(f"chatroom:{room}").count(":") == 1
    assert clean_room(room) == room


@given(st.text())
def test_a_name_stays_itself_and_shows(typed: str) -> None:
    try:
        name = clean_name(typed)
    except Refused:
        return
    assert clean_name(name) == name
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in name)


TEXTS = [
    ("hello", "hello"),
    (" a\r\nb\rc ", "a\nb\nc"),
    ("tab\there", "tab\there"),
    ("a\u2028b", "a\nb"),
    ("a\u202eb\x07", "ab"),
    ("👩\u200d💻", "👩\u200d💻"),
    ("Z" + "\u0335" * 50 + "algo", "Z" + "\u0335" * 3 + "algo"),
    ("½ is not 1⁄2", "½ is not 1⁄2"),
]


@pytest.mark.parametrize(("typed", "shown"), TEXTS)
def test_texts(typed: str, shown: str) -> None:
    assert clean_text(typed) == shown


@pytest.mark.parametrize("typed", ["", " \n ", "\u200d", "x" * (MAX_TEXT_LENGTH + 1), None, {"a": 1}])
def test_texts_that_are_none(typed: object) -> None:
    with pytest.raises(Refused):
        clean_text(typed)


ALIKE = [
    ("Ann", "ANN"),
    ("Ann", "ａｎｎ"),
    ("Ann", "\u0410nn"),  # a Cyrillic A
    ("admin", "ADMIN"),
    ("AI", "Al"),
    ("Al", "A1"),
    ("BETA", "\u0392\u0395\u03a4\u0391"),  # Greek capitals
    ("\u03b2\u03b5\u03c4\u03b1", "\u0392\u0395\u03a4\u0391"),
    ("Bob", "B0b"),
    ("modern", "modem"),
    ("paypal", "p\u0430yp\u0430l"),
    ("Cle\u0301o", "Cl\u00e9o"),
    ("Ann B", "Ann\u2800B"),
    ("Ann", "An\u034fn"),
    ("Ann", "A\u200dnn\ufe0f"),
    ("Ann", "Ann\U000e0041"),
    ("straße", "STRASSE"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert looks(clean_name(one)) & looks(clean_name(other))


@pytest.mark.parametrize("other", ["Anna", "An", "Cleo", "李", "Аня"])
def test_names_that_do_not(other: str) -> None:
    assert not looks("Ann") & looks(other)


INVISIBLE = [
    "\u3164",  # a Hangul filler: a letter, by its category
    "\uffa0",
    "\u115f\u1160",
    "\u2800",  # a Braille pattern without dots: a symbol
    "\u034f",
    "\u17b4",
    "\ufe0f",
    "\u180e",
    "\U000e0041",
    "\U0001d159",
    "\u0301",  # a mark, that belongs to what stands before it
    "\u00a0\u3000",
    "\u00ad",
]


@pytest.mark.parametrize("typed", INVISIBLE)
def test_nothing_is_called_by_what_nobody_sees(typed: str) -> None:
    for clean in (clean_name, clean_room, clean_text):
        with pytest.raises(Refused):
            clean(typed)
    for place in (f"{typed}Ann", f"An{typed}n", f"Ann{typed}"):
        if typed not in ("\u0301", "\u2800", "\u00a0\u3000", "\U0001d159"):
            assert clean_name(place) == "Ann"
