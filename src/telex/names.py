"""Topic ids and patterns: what they may look like, and which topic fits which pattern.

A topic id is tokens joined by ``:``, 1 to 255 characters. A token is not empty and holds no whitespace, no control
character, no ``*`` and no ``>``. In a pattern ``*`` stands for exactly one token, and ``>`` as the last token for one
or more. `shown_url` is the name of an engine for people.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from telex.errors import BadName

MAX_NAME_LENGTH = 255
CONNECTION = "$connection"
"""The topic of the changes of a hub's connection to its engine. Only telex publishes to it, in one process."""
REFUSED = "telex alone publishes to this topic; subscribe to it, and publish to a topic of your own"
_FORBIDDEN = frozenset({"Cc", "Cs", "Zs", "Zl", "Zp"})  # control characters, lone surrogates, white space


def check_topic(name: object, option: str = "name") -> str:
    """Return ``name`` when it is a topic id, else raise `BadName` that says what to write instead. ``option`` names the
    argument.
    """
    text = _check_text(name, option)
    for token in _tokens(text, option):
        if "*" in token or ">" in token:
            raise BadName(name, "a topic id must not contain '*' or '>', which are for patterns", option)
    return text


def check_published(name: object) -> str:
    """Return ``name`` when it is the id of a topic that programs publish to, else raise `BadName`."""
    if name == CONNECTION:
        raise BadName(name, REFUSED)
    return check_topic(name)


def check_pattern(name: object, option: str = "name") -> str:
    """Return ``name`` when it is a pattern or a topic id, else raise `BadName` that says what to write instead.
    ``option`` names the argument.
    """
    text = _check_text(name, option)
    tokens = _tokens(text, option)
    for number, token in enumerate(tokens, 1):
        if token == ">" and number < len(tokens):
            raise BadName(
                name, "'>' must be the last token, since it matches the rest of the name; use '*' for one token", option
            )
        if len(token) > 1 and ("*" in token or ">" in token):
            raise BadName(name, f"'*' and '>' must be whole tokens, and {token!r} has other characters too", option)
    return text


def is_pattern(name: str) -> bool:
    """Return true when a checked name is a pattern, not a topic id."""
    return "*" in name or ">" in name


class Pattern:
    """A compiled pattern: ``Pattern("chatroom:*").matches("chatroom:12345")``. A topic id matches only itself.
    Of several texts, a topic has to match one.

    A pattern that begins with ``*`` or ``>`` does not match names that begin with ``$``, which belong to telex (the
    rule of MQTT 4.7.2).
    """

    __slots__ = ("_match", "text")

    def __init__(self, *texts: str) -> None:
        expressions = [_expression(check_pattern(text)) for text in texts]
        self.text: str = " ".join(texts)
        self._match = re.compile("|".join(expressions), re.DOTALL).fullmatch

    def matches(self, topic: str) -> bool:
        """Return true when a topic id matches. ``topic`` may be a pattern: then all its topics have to match
        (``chatroom:>`` matches ``chatroom:*``).
        """
        return self._match(topic) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _expression(pattern: str) -> str:
    wild = {"*": "[^:>]+", ">": ".+"}
    own = "(?!\\$)" if pattern[0] in wild else ""
    return own + ":".join(wild.get(token) or re.escape(token) for token in pattern.split(":"))


def _check_text(name: object, option: str) -> str:
    if not isinstance(name, str):
        raise BadName(name, f"a name must be text such as 'chatroom:12345', not {type(name).__name__}", option)
    if not name:
        raise BadName(name, "a name must not be empty; write text such as 'chatroom:12345'", option)
    if len(name) > MAX_NAME_LENGTH:
        raise BadName(
            name, f"a name must have at most {MAX_NAME_LENGTH} characters, and this one has {len(name)}", option
        )
    if not (name.isascii() and name.isprintable() and " " not in name):
        for character in name:
            if unicodedata.category(character) in _FORBIDDEN:
                raise BadName(
                    name, f"a name must not contain whitespace or control characters, such as {character!r}", option
                )
    return name


def _tokens(name: str, option: str) -> list[str]:
    tokens = name.split(":")
    if "" in tokens:
        raise BadName(name, "a token must not be empty; write text before and after each ':'", option)
    return tokens


def shown_url(url: str) -> str:
    """Return the URL of an engine for errors and logs: without user, password and options if it may have a password."""
    text = unquote(url)
    if "@" not in text and "password" not in text:
        return url
    base = url.partition("?")[0]
    scheme, separator, rest = base.partition("://")
    if not separator:
        scheme, rest = "...", base
    elif "@" not in base and re.search(r":\D", rest.partition("/")[0]):
        return f"{scheme}://..."  # a password with a question mark in it
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
