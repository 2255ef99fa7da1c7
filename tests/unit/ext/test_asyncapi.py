"""The AsyncAPI document of a hub, and its page."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field

import telex
from telex.ext.asyncapi import POLICY, document, page


@dataclass
class Order:
    number: int
    note: str | None = None


class Item(BaseModel):
    name: str


class Basket(BaseModel):
    items: list[Item]


def shop() -> telex.Hub:
    hub = telex.Hub("postgresql://user:secret@db.example:5432/shop?password=secret")
    hub.topic("orders:new", Order, content_type="application/msgpack")
    hub.topic("baskets", Basket)
    hub.topic("pictures", bytes)

    @hub.on("orders:*", group="billing", retry=telex.Retry(attempts=5), dead_letter="orders:dead")
    async def bill(order: Order) -> None:
        """Bill an <order>."""

    @hub.on("log:>")
    def show(message: telex.Message[str]) -> None: ...

    @hub.on(Order)
    def placed(order: Order) -> None: ...

    @hub.command("report:build", once=True)
    async def build(order: Order) -> list[str]:
        return []

    return hub


WRITTEN = document(shop(), title="shop")


def references(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(data, list):
        for each in data:
            yield from references(each)


def resolved(reference: str) -> Any:
    found: Any = WRITTEN
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def operation(key: str) -> Any:
    return WRITTEN["operations"][key]


def test_every_reference_leads_somewhere_and_keys_are_allowed() -> None:
    found = list(references(WRITTEN))
    assert len(found) > 20
    assert all(resolved(each) is not None for each in found)
    keys = [*WRITTEN["channels"], *WRITTEN["operations"]]
    assert all(re.fullmatch("[A-Za-z0-9_-]+", key) for key in keys)


def test_typed_topics_are_sent_with_their_content_type_and_schema() -> None:
    sent = operation("send_orders_new")
    assert sent["action"] == "send"
    (message,) = [resolved(each["$ref"]) for each in sent["messages"]]
    assert message == {
        "name": "Order",
        "payload": {"$ref": "#/components/schemas/Order"},
        "contentType": "application/msgpack",
    }
    assert set(WRITTEN["components"]["schemas"]["Order"]["properties"]) == {"number", "note"}
    basket = resolved("#/channels/baskets/messages/Basket")["payload"]
    assert basket["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Item"}
    assert resolved("#/channels/pictures/messages/bytes")["contentType"] == "application/octet-stream"


def test_handlers_receive_with_their_group_and_the_parameters_of_their_pattern() -> None:
    (received,) = [each for each in WRITTEN["operations"].values() if "x-telex-group" in each]
    assert (received["action"], received["description"]) == ("receive", "Bill an <order>.")
    assert received["x-telex-group"] == {
        "name": "billing",
        "attempts": 5,
        "leaseSeconds": 30.0,
        "deadLetter": "orders:dead",
    }
    channel = resolved(received["channel"]["$ref"])
    assert channel["address"] == "orders:{part2}"
    assert channel["parameters"] == {"part2": {"description": "One token."}}


def test_commands_receive_and_reply() -> None:
    received = operation("command_report_build")
    assert received["action"] == "receive"
    assert received["x-telex-once"] is True
    assert resolved(received["channel"]["$ref"])["address"] == "$command:report:build:request"
    reply = received["reply"]
    assert reply["address"]["location"] == "$message.header#/telex-inbox"
    assert resolved(reply["channel"]["$ref"])["address"] is None
    (outcome,) = [resolved(each["$ref"]) for each in reply["messages"]]
    assert outcome["payload"]["properties"]["result"] == {"type": "array", "items": {"type": "string"}}
    assert operation("outcome_report_build")["action"] == "send"


def test_a_command_that_yields_sends_parts_and_its_result_is_their_number() -> None:
    hub = telex.Hub("memory://")

    @hub.command("complete")
    async def complete(prompt: str) -> AsyncIterator[Item]:
        yield Item(name=prompt)

    written = document(hub)
    (parts,) = written["channels"]["stream_complete"]["messages"].values()
    assert (parts["name"], parts["payload"]["title"]) == ("Item", "Item")
    assert written["channels"]["stream_complete"]["address"] == "$stream:complete:{part3}"
    assert written["operations"]["stream_complete"]["action"] == "send"
    outcome = written["channels"]["command_complete_outcome"]["messages"]["Outcome"]["payload"]
    assert outcome["properties"]["result"] == {"type": "integer"}


class Cat(msgspec.Struct, tag=True):
    discriminator: str


class Dog(msgspec.Struct, tag=True):
    name: str


class Tabby(BaseModel):
    kind: Literal["tabby"]


class Poodle(BaseModel):
    kind: Literal["poodle"]


@pytest.mark.parametrize(
    ("pet", "name"),
    [(Cat | Dog, "Cat | Dog"), (Annotated[Tabby | Poodle, Field(discriminator="kind")], "Tabby | Poodle")],
)
def test_a_tagged_union_has_no_discriminator_of_openapi(pet: Any, name: str) -> None:
    hub = telex.Hub("memory://")
    hub.topic("pets", pet)
    written = document(hub)
    (message,) = written["channels"]["pets"]["messages"].values()
    assert message["name"] == name
    assert "propertyName" not in str(written)
    if name == "Cat | Dog":
        assert "discriminator" in written["components"]["schemas"]["Cat"]["properties"], "a field of the program"


def test_the_server_has_no_password() -> None:
    assert WRITTEN["servers"] == {"engine": {"host": "db.example:5432", "protocol": "postgresql", "pathname": "/shop"}}
    assert "secret" not in str(WRITTEN)


def test_a_password_with_a_mark_that_no_url_has_is_left_out() -> None:
    written = document(telex.Hub("postgresql://shop:pa[ss@db/shop"))
    assert written["servers"] == {"engine": {"host": "localhost", "protocol": "postgresql"}}


def test_two_classes_of_one_name_have_two_schemas() -> None:
    other: type[Any] = dataclass(type("Order", (), {"__annotations__": {"other": bool}}))
    hub = telex.Hub("memory://")
    hub.topic("a", Order)
    hub.topic("b", other)
    schemas = document(hub)["components"]["schemas"]
    assert [set(schema["properties"]) for schema in schemas.values()] == [{"number", "note"}, {"other"}]


def test_the_page_loads_nothing_and_escapes_all_text() -> None:
    html = page(WRITTEN)
    assert "Bill an &lt;order&gt;." in html
    assert "<order>" not in html
    assert not re.search(r"(?:src|href)=|<script|https?://", html)
    assert "default-src 'none'" in POLICY


def test_an_empty_title_is_refused() -> None:
    with pytest.raises(telex.BadOption, match="it must be text that is not empty"):
        document(telex.Hub("memory://"), title="")
    with pytest.raises(telex.BadOption, match="it must be text that is not empty"):
        document(telex.Hub("memory://"), version=1)  # type: ignore[arg-type]  # the mistake
