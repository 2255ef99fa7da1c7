"""What people type: names, rooms and texts, made harmless and comparable. Pure functions.

Which characters show nothing, and which look alike, is Unicode's data as ICU has it (UTS #39).
"""

from __future__ import annotations

import re
import unicodedata

import icu
import msgspec

from telex.gateway import Refused

LONGEST_NAME = 32
LONGEST_ROOM = 64
LONGEST_TEXT = 2000

# Control and format characters (which hold those that turn the writing direction), lone surrogates, unassigned,
# private.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})
# In texts these stay: they join emoji and scripts, and turn nothing around.
_JOINERS = "\u200c\u200d"
# Characters that are drawn as nothing, though Unicode does not call them ignorable or spaces.
_BLANK = re.compile("[\\s\u2800\U0001d159]")
_MARKS = frozenset({"Mn", "Me", "Mc"})
_spoofing = icu.SpoofChecker()
_STACKED_MARKS = re.compile(
    r"((?:[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]){3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)


class Said(msgspec.Struct, frozen=True):
    """The content of a message in a room: who said what."""

    name: str
    text: str


def clean_name(name: object) -> str:
    """A name to show. Raises `Refused` when nothing of it is left or it is too long."""
    text = _STACKED_MARKS.sub(r"\1", " ".join(_visible(_text(name, "a name"), "").split()))
    if not _shows(text):
        raise Refused("bad_name", "give a name that people can see")
    if len(text) > LONGEST_NAME:
        raise Refused("bad_name", f"a name has at most {LONGEST_NAME} characters")
    return text


def looks(name: str) -> frozenset[str]:
    """What a name looks like. Two names look alike when they share one of these.

    Case and confusable characters are folded in both orders: ``ADMIN`` is ``admin`` in other case, and ``AI`` looks
    like ``Al``.
    """
    return frozenset({_skeleton(name.casefold()), _skeleton(_skeleton(name).casefold()).replace("i", "l")})


def fold(name: str) -> str:
    """A name in the form that does not depend on case and width."""
    return unicodedata.normalize("NFKC", name.casefold())


def clean_room(room: object) -> str:
    """The id of a room from what somebody typed: small letters, ``-`` for spaces, one token of a topic id.

    Raises `Refused` when nothing of it is left or it is too long.
    """
    text = fold("-".join(_visible(_text(room, "a room"), "").split()))
    text = re.sub(r"[#:*>/\\]+", "-", text).strip("-")
    if not _shows(text):
        raise Refused("bad_name", "give the room a name of letters or digits")
    if len(text) > LONGEST_ROOM:
        raise Refused("bad_name", f"a room's name has at most {LONGEST_ROOM} characters")
    return text


def clean_text(text: object) -> str:
    """A text to show, line breaks kept. Raises `Refused` when it is empty or too long."""
    lines = (
        _text(text, "a text").replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    )
    visible = _STACKED_MARKS.sub(r"\1", _visible(lines, "\n\t" + _JOINERS, form="NFC")).strip()
    if not _shows(visible):
        raise Refused("bad_content", "there is nothing to say in it")
    if len(visible) > LONGEST_TEXT:
        raise Refused("bad_content", f"a message has at most {LONGEST_TEXT} characters, this one has {len(visible)}")
    return visible


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise Refused("bad_content", f"{what} is text")
    return value


def _visible(text: str, keep: str, form: str = "NFKC") -> str:
    normal = unicodedata.normalize(form, text)  # type: ignore[arg-type]  # one of the two forms named in this file
    if not keep:
        normal = _BLANK.sub(" ", "".join(c for c in normal if not _is_ignorable(c)))
    return "".join(c for c in normal if c in keep or unicodedata.category(c) not in _INVISIBLE)


def _shows(text: str) -> bool:
    """Whether a reader sees anything: a mark alone, which belongs to the character before it, does not count."""
    return any(
        not (_is_ignorable(c) or _BLANK.match(c) or unicodedata.category(c) in _MARKS | _INVISIBLE) for c in text
    )


def _is_ignorable(character: str) -> bool:
    return bool(icu.Char.hasBinaryProperty(character, icu.UProperty.DEFAULT_IGNORABLE_CODE_POINT))


def _skeleton(text: str) -> str:
    return str(_spoofing.getSkeleton(0, text))
