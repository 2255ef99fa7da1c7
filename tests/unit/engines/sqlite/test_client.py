"""The open file, as the event loop has it."""

import asyncio
from pathlib import Path

import pytest

import telex
from tests.unit.engines.sqlite.hubs import contents_of, hub_on


async def test_content_that_has_no_form_fails_its_publisher_alone(tmp_path: Path) -> None:
    async with hub_on(tmp_path / "x.db") as (hub, _):
        topic = hub.topic("t")
        good = asyncio.ensure_future(topic.publish(1))
        with pytest.raises(telex.ContentError, match="no JSON form"):
            await topic.publish(object())
        assert (await good).seq == 1
        assert await contents_of(hub) == [1]
