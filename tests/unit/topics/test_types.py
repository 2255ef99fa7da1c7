"""The types to which content from outside is decoded: by the name that was stored, also of subclasses."""

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import telex
from telex.codec.content import Content
from telex.topics.types import MAX_UNKNOWN_NAMES, ContentTypes, check_held


class Animal(msgspec.Struct):
    name: str


class Dog(Animal):
    age: int = 1


class Puppy(Dog): ...


@dataclass
class Refuses:
    number: int

    def __post_init__(self) -> None:
        if self.number == 0:
            raise KeyError("mine")
        if self.number == 1:
            raise MemoryError


def knowing(*classes: type[Any]) -> ContentTypes:
    types = ContentTypes()
    for cls in classes:
        types.know(cls)
    return types


def test_data_is_decoded_to_the_type_of_its_name() -> None:
    types = knowing(Animal)
    assert types.decode(None, {"name": "rex"}, "t", "Animal") == Animal("rex")
    assert types.decode(None, {"name": "rex", "age": 3}, "t", "Dog") == Dog("rex", 3)
    found = types.decode(None, {"name": "rex"}, "t", "Puppy")
    assert type(found) is Puppy


@pytest.mark.parametrize("type", ["Cat", "dict", None, ""])
def test_data_without_a_type_stays_plain(type: str | None) -> None:
    data = {"name": "rex"}
    assert knowing(Animal).decode(None, data, "t", type) is data


def test_the_declared_type_of_a_topic_comes_first() -> None:
    data = {"name": "rex"}
    assert ContentTypes().decode(Content(Animal), data, "t", "Cat") == Animal("rex")
    assert type(ContentTypes().decode(Content(Animal), data, "t", "Dog")) is Dog


def test_data_that_does_not_fit_stays_plain() -> None:
    types = knowing(Animal, Refuses)
    for data, name in (({"name": 5}, "Animal"), ({"number": 0}, "Refuses")):
        assert types.decode(None, data, "t", name) is data
    with pytest.raises(MemoryError):
        types.decode(None, {"number": 1}, "t", "Refuses")


def test_types_of_python_need_no_handler() -> None:
    assert ContentTypes().decode(None, "12.50", "t", "Decimal") == Decimal("12.50")
    assert ContentTypes().decodes(["Cat", "Decimal"])
    assert not ContentTypes().decodes(["Cat"])


def test_a_name_that_was_unknown_is_looked_for_again_when_a_type_comes() -> None:
    types = knowing(Refuses)
    assert types.find("Dog") is None
    types.know(Animal)
    found = types.find("Dog")
    assert found is not None
    assert found.declared is Dog
    assert types.find("Dog") is found


def test_a_class_that_is_defined_later_is_found() -> None:
    types = knowing(Animal)

    class Late(Animal): ...

    found = types.find("Late")
    assert found is not None
    assert found.declared is Late


def test_unknown_names_are_bounded() -> None:
    types = knowing(Animal)
    for number in range(2 * MAX_UNKNOWN_NAMES):
        assert types.find(f"Unknown{number}") is None
    assert types.find("Dog") is not None
    assert set(types.known) == {"Animal", "Dog"}


def test_every_class_is_a_subclass_of_object_and_none_is_found_by_that() -> None:
    assert knowing(object).find("Dog") is None


def test_two_types_of_one_name_are_logged_and_the_first_stays(caplog: pytest.LogCaptureFixture) -> None:
    types = knowing(Animal, Animal)
    assert caplog.records == []
    types.know(type("Animal", (msgspec.Struct,), {}))
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "telex")]
    assert types.known["Animal"].declared is Animal


def test_content_is_held_to_what_a_store_gives_back() -> None:
    check_held(None, {"a": 1}, "t", "dict")
    check_held(Content(Animal), Dog("rex"), "t", "Dog")
    check_held(Content(Animal), {"name": "rex"}, "t", "dict")
    with pytest.raises(telex.ContentError):
        check_held(None, {1: "a"}, "t", "dict")
    with pytest.raises(telex.ContentError):
        check_held(Content(Animal), {"name": 5}, "t", "dict")
