"""What people type comes out harmless, comparable and bounded."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import names
from telex.chat.words import LONGEST_TEXT, clean_name, clean_room, clean_text, fold
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


@pytest.mark.parametrize("typed", ["", " \n ", "\u200d", "x" * (LONGEST_TEXT + 1), None, {"a": 1}])
def test_texts_that_are_none(typed: object) -> None:
    with pytest.raises(Refused):
        clean_text(typed)


def test_names_that_look_alike_are_one() -> None:
    assert fold("Ann") == fold("ANN") == fold("ａｎｎ")
    assert fold("Ann") != fold("Anna")
