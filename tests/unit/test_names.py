import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex import BadName
from telex.names import MAX_NAME_LENGTH, Pattern, check_pattern, check_topic, is_pattern, shown_url
from tests.unit.log.hub_machine import covers

GOOD = [
    "a",
    "chatroom:12345",
    "a:b:c:d",
    "raum:größe",
    "房间:一",
    "room:\U0001f600",
    "e\u0301",  # a combining accent
    "\ue000",  # private use
    "a.b-c_d/e\\f\"g'h#i",
    "0",
    "<",
    "a" * MAX_NAME_LENGTH,
    "é" * MAX_NAME_LENGTH,
    "\U0001f600" * MAX_NAME_LENGTH,
    ":".join("a" * 128),
]
EMPTY_TOKEN = ["", ":", "a:", ":a", "a::b", "::", "a:b:"]
FORBIDDEN = [
    *map(chr, range(0x21)),
    *map(chr, range(0x7F, 0xA1)),
    "\u1680",
    "\u2000",
    "\u2028",
    "\u2029",
    "\u202f",
    "\u3000",
    "\ud800",
    "\udfff",
]


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_good_names(name: str) -> None:
    assert check_topic(name) is name
    assert check_pattern(name) is name
    assert not is_pattern(name)
    assert Pattern(name).matches(name)


@pytest.mark.parametrize("name", EMPTY_TOKEN, ids=ascii)
def test_no_token_is_empty(name: str) -> None:
    for check in (check_topic, check_pattern, Pattern):
        with pytest.raises(BadName, match="empty"):
            check(name)


def test_no_white_space_no_control_character_no_lone_surrogate() -> None:
    for character in FORBIDDEN:
        for name in (character, f"a{character}b", f"a:{character}", f"{character}:a", f"é{character}"):
            for check in (check_topic, check_pattern):
                with pytest.raises(BadName) as raised:
                    check(name)
                assert str(raised.value).isprintable(), ascii(name)


@pytest.mark.parametrize("name", ["a" * 256, "é" * 256, "a:" * 128, "*" * 256])
def test_at_most_255_characters(name: str) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(BadName, match="at most 255 characters, and this one has 256"):
            check(name)


@pytest.mark.parametrize("name", [None, 5, b"a", ["a"], ("a", "b"), object], ids=repr)
def test_a_name_is_text(name: object) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(BadName, match=type(name).__name__):
            check(name)


@pytest.mark.parametrize("name", ["*", ">", "a:*", "*:a", "a:>", "a:*:>", "*:*"])
def test_a_pattern_is_no_topic(name: str) -> None:
    assert check_pattern(name) is name
    assert is_pattern(name)
    with pytest.raises(BadName, match="patterns"):
        check_topic(name)


@pytest.mark.parametrize("name", ["a*", "*a", "a:b*:c", "**", "a>", ">>", "*>", "a:>b"])
def test_a_star_stands_for_a_whole_token(name: str) -> None:
    with pytest.raises(BadName, match="whole tokens"):
        check_pattern(name)


@pytest.mark.parametrize("name", [">:a", "a:>:b", ">:>", ">:*"])
def test_the_wildcard_for_the_rest_is_last(name: str) -> None:
    with pytest.raises(BadName, match="last token"):
        check_pattern(name)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("a:*", ["a:b", "a:é", "a:.", "a:[^b]"], ["a", "a:b:c", "b:a", "aa:b", "a:b:"]),
        ("*", ["a", "é"], ["a:b"]),
        ("*:b", ["a:b"], ["b", "a:c", "a:a:b", "a:bb"]),
        ("a:*:c", ["a:b:c", "a:a:c"], ["a:c", "a:b:b:c", "a:b:d"]),
        ("a:>", ["a:b", "a:b:c", "a:b:c:d"], ["a", "b:a", "aa:b"]),
        (">", ["a", "a:b", "a:b:c"], []),
        ("*:>", ["a:b", "a:b:c"], ["a"]),
        ("a.b", ["a.b"], ["axb", "a.bc"]),
        ("a+:(b|c)", ["a+:(b|c)"], ["aa:b", "a+:b"]),
        ("A", ["A"], ["a"]),
    ],
)
def test_names_match_a_pattern_token_by_token(pattern: str, fitting: list[str], others: list[str]) -> None:
    matches = Pattern(pattern).matches
    assert [name for name in fitting if not matches(name)] == []
    assert [name for name in others if matches(name)] == []


def test_a_pattern_has_another_when_it_has_all_that_fits_it() -> None:
    assert Pattern("a:>").matches("a:*")
    assert Pattern("a:>").matches("a:*:>")
    assert Pattern("a:*").matches("a:*")
    assert Pattern(">").matches("*")
    assert not Pattern("a:*").matches("a:>")
    assert not Pattern("*").matches(">")
    assert not Pattern("a:b").matches("a:*")


tokens = st.sampled_from(["a", "b", "ab", ".", "é"])
names = st.lists(tokens, min_size=1, max_size=4).map(":".join)
patterns = st.builds(
    lambda most, last: ":".join([*most, *last]) or ">",
    st.lists(tokens | st.just("*"), max_size=3),
    st.sampled_from([[], [">"], ["*"]]),
)


@settings(max_examples=50)
@given(patterns, names)
def test_patterns_fit_as_token_by_token(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == covers(pattern, name)


def narrowed(pattern: str, to: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Patterns that stand for some of what ``pattern`` does: tokens of ``to`` are in the place of what is wild."""
    wild = {"*": to, ">": st.lists(to, min_size=1, max_size=2).map(":".join)}
    return st.tuples(*[wild.get(token, st.just(token)) for token in pattern.split(":")]).map(":".join)


@pytest.mark.slow
@settings(max_examples=50)
@given(patterns, st.data())
def test_a_name_that_matches_a_pattern_matches_each_wider_pattern(outer: str, data: st.DataObject) -> None:
    inner = data.draw(narrowed(outer, tokens | st.just("*")))
    name = data.draw(narrowed(inner, tokens))
    assert Pattern(outer).matches(inner)
    assert Pattern(inner).matches(name)
    assert Pattern(outer).matches(name)


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        check_topic(text)
    except BadName as refused:
        error: BadName | None = refused
    else:
        error = None
    if error is None:
        assert check_pattern(text) == check_topic(text) == text
        assert len(text.split()) == 1
    else:
        assert error.name == text
        assert error.problem in str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a@b.db", "sqlite://b.db"),
        ("postgresql://host:5432/shop?sslmode=require", "postgresql://host:5432/shop?sslmode=require"),
        ("postgresql://me:secret@host:5432/shop?schema=a", "postgresql://host:5432/shop"),
        ("postgresql://me:se?cret@host/shop", "postgresql://..."),
        ("postgresql://me:se/cret@host/shop", "postgresql://host/shop"),
        ("postgresql://a:1,b:2/shop?listen=postgresql%3A//me%3Asecret%40db/shop", "postgresql://a:1,b:2/shop"),
        ("postgres//me:secret@host/shop", "...host/shop"),
    ],
)
def test_an_url_is_shown_without_a_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown
