"""A declared type: content is held to it, comes back as it, and is refused with a path."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from pydantic import BaseModel

import telex
from telex.codec.content import Content, from_json, from_stored


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        (int, 2**70, None),
        (int, True, "Expected `int`, got `bool`"),
        (int, 1.5, "Expected `int`, got `float`"),
        (float, -0.0, None),
        (float, math.nan, "JSON has no NaN"),
        (float, math.inf, "JSON has no NaN"),
        (bool, False, None),
        (bool, 1, "Expected `bool`, got `int`"),
        (str, "null", None),
        (str, "a\ud800", "it has no JSON form"),
        (str, b"a", "Expected `str`"),
    ],
)
def test_numbers_and_text_are_held_to_their_type(declared: type[Any], value: Any, problem: str | None) -> None:
    content = Content(declared)
    if problem is None:
        data = content.hold(content.check(value, "t"), "t")
        assert data is not None
        assert content.decode(from_json(data), "t") == value
        return
    with pytest.raises(telex.ContentError, match=problem):
        content.hold(content.check(value, "t"), "t")


class Base(msgspec.Struct):
    x: int


class Sub(Base):
    y: int


@pytest.mark.parametrize(
    ("name", "made"), [("Sub", Sub(1, 2)), ("Base", Base(1)), (None, Base(1)), ("Unknown", Base(1)), ("int", Base(1))]
)
def test_content_is_of_the_subclass_that_it_names(name: str | None, made: Base) -> None:
    found = Content(Base).decode({"x": 1, "y": 2}, "t", name)
    assert found == made
    assert type(found) is type(made)


class Interrupts(ValueError):
    def __str__(self) -> str:
        raise KeyError("no text")


@dataclass
class Picky:
    kind: str

    def __post_init__(self) -> None:
        errors: dict[str, Callable[[], BaseException]] = {
            "key": lambda: KeyError("k"),
            "recursion": lambda: RecursionError("deep"),
            "os": lambda: OSError(24, "too many"),
            "assertion": AssertionError,
            "value": lambda: ValueError("caf\udce9"),
            "mute": Interrupts,
            "memory": MemoryError,
        }
        if self.kind in errors:
            make = errors[self.kind]
            raise make()


async def test_whatever_a_type_raises_while_it_decodes_is_one_error(tmp_path: Path) -> None:
    picky = Content(Picky)
    for kind in ("key", "recursion", "os", "assertion", "value", "mute"):
        with pytest.raises(telex.ContentError) as caught:
            picky.decode({"kind": kind}, "t")
        str(caught.value).encode()
    with pytest.raises(MemoryError):  # a shortage says nothing about the content
        picky.decode({"kind": "memory"}, "t")
    for damaged in (b"\xff", b"{", "[" * 100_000, b'"\\ud800"', "NaN", ""):
        with pytest.raises(telex.ContentError):
            from_stored(damaged, "t")
    url = f"sqlite:///{tmp_path}/a.db"
    async with telex.Hub(url) as one, telex.Hub(url) as other:
        async with other.topic("t", Picky).subscribe() as inbox:
            for kind in ("key", "recursion", "os", "fine"):
                await one.topic("t").publish({"kind": kind})
            received = [(await inbox.receive(timeout=20)).content for _ in range(4)]
        assert received[-1] == Picky("fine")


class Dumped(BaseModel):
    text: str
    dumps: ClassVar[list[str]] = []

    def model_dump(self, **options: Any) -> dict[str, Any]:
        self.dumps.append(self.text)
        return super().model_dump(**options)


@pytest.mark.parametrize("declared", [None, Dumped], ids=["untyped", "typed"])
async def test_content_is_encoded_once_for_proof_and_file(declared: type[Any] | None, tmp_path: Path) -> None:
    Dumped.dumps.clear()
    async with telex.Hub(f"sqlite:///{tmp_path}/once.db") as hub:
        topic: telex.Topic[Any] = hub.topic("t") if declared is None else hub.topic("t", declared)
        await topic.publish(Dumped(text="é"))
        await topic.publish(Dumped(text="b"), headers={"a": "b"}, key="k")
        assert Dumped.dumps == ["é", "b"]
        assert [
            message.content["text"] if declared is None else message.content.text async for message in topic.history()
        ] == ["é", "b"]
