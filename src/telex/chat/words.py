"""Names, rooms and texts that people type: cleaned, and comparable. Pure functions.

ICU has the Unicode data about invisible characters and characters that look alike (UTS #39).
"""

from __future__ import annotations

import re
import unicodedata

import icu
import msgspec

from telex.gateway import Refused

MAX_NAME_LENGTH = 32
MAX_ROOM_LENGTH = 64
MAX_TEXT_LENGTH = 2000

# Control and format characters (which hold those that turn the writing direction), lone surrogates, unassigned,
# private.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})
# Texts keep these characters: they join emoji and scripts, and do not change the writing direction.
_JOINERS = "\u200c\u200d"
# Characters without ink that Unicode does not classify as ignorable or as spaces.
_BLANK = re.compile("[\\s\u2800\U0001d159]")
_MARKS = frozenset({"Mn", "Me", "Mc"})
_spoofing = icu.SpoofChecker()
_STACKED_MARKS = re.compile(
    r"((?:[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]){3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)


class Said(msgspec.Struct, frozen=True):
    """The content of a message in a room."""

    name: str
    text: str


def clean_name(name: object) -> str:
    """Return a name without invisible characters. Raises `Refused` when it is empty or too long."""
    text = _STACKED_MARKS.sub(r"\1", " ".join(_visible(_text(name, "a name"), "").split()))
    if not _shows(text):
        raise Refused("bad_name", "give a name that people can see")
    if len(text) > MAX_NAME_LENGTH:
        raise Refused("bad_name", f"a name has at most {MAX_NAME_LENGTH} characters")
    return text


def looks(name: str) -> frozenset[str]:
    """Return the looks of a name. Two names look alike when they share a look.

    Case and confusable characters are folded in both orders: ``ADMIN`` is ``admin`` in other case, and ``AI`` looks
    like ``Al``.
    """
    return frozenset({_skeleton(name.casefold()), _skeleton(_skeleton(name).casefold()).replace("i", "l")})


def fold(name: str) -> str:
    """Return a name in the form without differences of case and width."""
    return unicodedata.normalize("NFKC", name.casefold())


def clean_room(room: object) -> str:
    """Return the id of a room: lower case, ``-`` for spaces, one token of a topic id.

    Raises `Refused` when the id is empty or too long.
    """
    text = fold("-".join(_visible(_text(room, "a room"), "").split()))
    text = re.sub(r"[#:*>/\\]+", "-", text).strip("-")
    if not _shows(text):
        raise Refused("bad_name", "give the room a name of letters or digits")
    if len(text) > MAX_ROOM_LENGTH:
        raise Refused("bad_name", f"a room's name has at most {MAX_ROOM_LENGTH} characters")
    return text


def clean_text(text: object) -> str:
    """Return a text without invisible characters, with its line breaks. Raises `Refused` when the text is empty or too
    long.
    """
    lines = (
        _text(text, "a text").replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    )
    visible = _STACKED_MARKS.sub(r"\1", _visible(lines, "\n\t" + _JOINERS, form="NFC")).strip()
    if not _shows(visible):
        raise Refused("bad_content", "the text is empty")
    if len(visible) > MAX_TEXT_LENGTH:
        raise Refused("bad_content", f"a message has at most {MAX_TEXT_LENGTH} characters, this one has {len(visible)}")
    return visible


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise Refused("bad_content", f"{what} is text")
    return value


def _visible(text: str, keep: str, form: str = "NFKC") -> str:
    normal = unicodedata.normalize(form, text)  # type: ignore[arg-type]  # one of the two forms in this file
    if not keep:
        normal = _BLANK.sub(" ", "".join(c for c in normal if not _is_ignorable(c)))
    return "".join(c for c in normal if c in keep or unicodedata.category(c) not in _INVISIBLE)


def _shows(text: str) -> bool:
    """Return True when a character is visible. A mark belongs to the character before it, and does not count."""
    return any(
        not (_is_ignorable(c) or _BLANK.match(c) or unicodedata.category(c) in _MARKS | _INVISIBLE) for c in text
    )


def _is_ignorable(character: str) -> bool:
    return bool(icu.Char.hasBinaryProperty(character, icu.UProperty.DEFAULT_IGNORABLE_CODE_POINT))


def _skeleton(text: str) -> str:
    return str(_spoofing.getSkeleton(0, text))
