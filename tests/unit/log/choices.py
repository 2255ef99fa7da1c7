"""The values that the property tests choose from. Numbers are small, so that every bound is met often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from telex import Message
from telex.log.log import Retention, Tuning
from telex.log.options import Options, Overflow

BY_COUNT: tuple[Overflow, ...] = ("drop_newest", "drop_oldest", "latest", "block", "fail", "close", "catch_up")
BY_BYTES: tuple[Overflow, ...] = ("drop_newest", "drop_oldest", "latest", "block", "fail", "close")


def key_of(message: Message[Any]) -> object:
    """The first character of the content: one of three, or none."""
    return message.content[:1]


def every_kind() -> list[Options]:
    """Each policy as it may be bounded: by count, by bytes, by key; for the tests that go through them one by one."""
    kinds = [Options(overflow) for overflow in BY_COUNT]
    kinds += [Options(overflow, buffer_bytes=1) for overflow in BY_BYTES]
    return [*kinds, Options("latest", key=key_of), Options("latest", buffer_bytes=1, key=key_of)]


def kind_id(kind: Options) -> str:
    return kind.overflow + "-bytes" * (kind.buffer_bytes is not None) + "-key" * (kind.key is not None)


def options(kinds: list[Options]) -> st.SearchStrategy[Options]:
    """A subscriber of one of ``kinds``."""

    def make(kind: Options, buffer: int, buffer_bytes: int, report: bool) -> Options:
        bound = None if kind.buffer_bytes is None else buffer_bytes
        return Options(kind.overflow, buffer, bound, kind.key, report)

    buffers = st.sampled_from([1, 2, 3, 4, 7, 30])
    return st.builds(make, st.sampled_from(kinds), buffers, st.sampled_from([1, 3, 8, 20]), st.booleans())


contents: st.SearchStrategy[str] = st.builds(
    lambda key, length: key * length, st.sampled_from("abc"), st.sampled_from([0, 1, 1, 1, 2, 3, 9, 25])
)

bursts: st.SearchStrategy[list[str]] = st.one_of(
    st.lists(contents, min_size=1, max_size=4),
    st.builds(lambda content, count: [content] * count, contents, st.sampled_from([5, 12, 40])),
)

retentions: st.SearchStrategy[Retention] = st.one_of(
    st.just(Retention()),
    st.builds(Retention, messages=st.sampled_from([1, 2, 5, 20])),
    st.builds(Retention, messages=st.sampled_from([None, 10]), age=st.sampled_from([0.5, 2.0, 10.0])),
    st.builds(Retention, messages=st.sampled_from([None, 4]), bytes=st.sampled_from([0, 1, 6, 40])),
    st.builds(Retention, messages=st.none(), age=st.sampled_from([1.0, 5.0]), bytes=st.sampled_from([5, 30])),
)

tunings: st.SearchStrategy[Tuning] = st.builds(
    lambda slack, tail, longest: Tuning(slack, min(slack, 16), longest, tail),
    st.sampled_from([1, 1, 3, 512]),
    st.sampled_from([0, 2, 65536]),
    st.sampled_from([2, 5, 4096]),
)
"""What the kernel does once for many messages it does for few, so that the tests meet it."""

seconds: st.SearchStrategy[float] = st.sampled_from([0.5, 1.0, 2.5, 10.0])

ttls: st.SearchStrategy[float | None] = st.sampled_from([None, None, 0.5, 2.0, 20.0])

Make = Callable[[str], Message[Any]]
