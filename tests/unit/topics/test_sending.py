"""Publishing in a span, on a hub that is traced."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar

import telex
from telex.observe.headers import Sending
from telex.observe.instrument import Processing


class Noted:
    """A `Sending` that writes down what happens."""

    def __init__(self, notes: list[str], headers: Mapping[str, str] | None) -> None:
        self.headers: Mapping[str, str] = {**(headers or {}), "correlation-id": "of the span"}
        self._notes = notes

    def __enter__(self) -> None:
        self._notes.append("entered")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notes.append("left")

    def sent(self, id: str) -> None:
        self._notes.append(f"sent {id}")


class Tracer:
    """An `Instrument` that has a span for each topic but ``quiet``."""

    sends: ClassVar[bool] = True

    def __init__(self) -> None:
        self.notes: list[str] = []

    def attach(self, hub: object) -> None: ...

    def processing(self, invoke: Callable[[Any], Any], of: Processing) -> Callable[[Any], Any]:
        return invoke

    def skips(self) -> bool:
        return False

    def sending(self, topic: str, headers: Mapping[str, str] | None) -> Sending | None:
        self.notes.append(topic)
        return None if topic == "quiet" else Noted(self.notes, headers)


async def test_each_way_to_publish_is_in_the_span_of_its_message() -> None:
    tracer = Tracer()
    async with telex.Hub(observe=tracer) as hub, hub.topic("x").subscribe() as inbox:
        await hub.topic("x").publish(1, id="a", headers={"color": "red"})
        hub.topic("x").publish_nowait(2, id="b")
        await hub.topic("x").publish(3, id="c", delay=0.001)
        async with hub.transaction() as tx:
            await tx.publish("x", 4, id="d")
        got = [await inbox.receive(timeout=5) for _ in range(4)]
    assert tracer.notes == [step for id in "abcd" for step in ("x", "entered", f"sent {id}", "left")]
    assert {message.headers["correlation-id"] for message in got} == {"of the span"}
    assert next(message for message in got if message.id == "a").headers["color"] == "red"


async def test_a_topic_without_a_span_and_a_topic_of_telex_are_published_to_as_ever() -> None:
    tracer = Tracer()
    hub = telex.Hub(observe=tracer)

    @hub.command("build", run_in="loop")
    def build(number: int) -> int:
        return number

    async with hub:
        assert (await hub.topic("quiet").publish(1)).headers == {}
        assert hub.topic("quiet").publish_nowait(1).headers == {}
        assert await hub.call("build", 1) == 1
    assert tracer.notes[:3] == ["quiet", "quiet", "$command:build:request"]
    assert [note for note in tracer.notes if note.startswith("$")] == ["$command:build:request"]
