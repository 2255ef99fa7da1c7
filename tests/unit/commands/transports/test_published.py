"""The search for published outcomes, by a worker that gets a command again."""

import asyncio
from typing import Any

import telex
from telex.commands.transports.published import PublishedOutcomes, outcome_id
from telex.hub import runtime_of
from tests.support.internals import engine_of

OUTCOMES = "$command:pack:outcome"


def request(id: str, seconds: float = 0.0) -> telex.Message[Any]:
    return telex.Message(None, "$command:pack:request", 1, id, seconds)


async def publish(hub: telex.Hub, *ids: str) -> None:
    for id in ids:
        await hub.topic(OUTCOMES).publish(id, id=outcome_id(request(id)))


async def test_an_outcome_is_found_that_another_process_has_published_after_the_search_before(file: str) -> None:
    async with telex.Hub(file) as hub, telex.Hub(file) as other:
        store = engine_of(hub).store
        assert store is not None
        published = PublishedOutcomes(runtime_of(hub), store, "pack", most=2)
        assert await published.find(request("a")) is None
        await publish(other, "a", "b")
        found = await asyncio.gather(*[published.find(request(id)) for id in "abc"])
        assert [each and each.content for each in found] == ["a", "b", None]

        await publish(other, "c")  # the first of more than two is forgotten
        found = [await published.find(request(id)) for id in "abc"]
        assert [each and each.content for each in found] == [None, "b", "c"]


async def test_outcomes_of_a_removed_topic_and_of_an_older_command_with_the_id_are_not_found(file: str) -> None:
    async with telex.Hub(file) as hub:
        store = engine_of(hub).store
        assert store is not None
        published = PublishedOutcomes(runtime_of(hub), store, "pack")
        await publish(hub, "a", "b")
        (found,) = [await published.find(request("a"))]
        assert found is not None
        assert await published.find(request("a", found.timestamp.timestamp() + 61)) is None
        await hub.remove(OUTCOMES)
        await publish(hub, "c")
        assert [await published.find(request(id)) is None for id in "abc"] == [True, True, False]
