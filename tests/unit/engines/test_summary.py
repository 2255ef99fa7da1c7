"""The summaries of topics, which are the same whatever engine stores them."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.engines.postgres import summary as of_database
from telex.engines.sqlite import summary as of_file
from tests.support.postgres import url_of

pytestmark = pytest.mark.slow


async def test_both_engines_summarise_the_same_topics_equally(postgres: str, tmp_path: Path) -> None:
    path, url = tmp_path / "x.db", url_of(postgres, "summary_both")
    for each in (f"sqlite:///{path}", url):
        async with telex.Hub(each) as hub:
            hub.retain("few", messages=2)
            hub.retain("none", messages=0)
            for content in ("one", "two", "three"):
                for topic in ("few", "none", "all"):
                    last = await hub.topic(topic).publish(content)
            assert last.content == "three"
    found = [await asyncio.to_thread(of_file.summaries, path), await of_database.summaries(url)]
    assert [[(s.topic, s.messages, s.bytes, s.last is None) for s in each] for each in found] == [
        [("all", 3, 11, False), ("few", 2, 8, False), ("none", 0, 0, True)]
    ] * 2
