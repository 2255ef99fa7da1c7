"""The lag of groups."""

from pathlib import Path

from tests.unit.engines.sqlite.rigs import G, contents, groups_of, rigs_on, send


async def test_names_that_mean_something_to_sqlite_are_names(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a[b?]:*")
        for topic in ("a[b?]:1", "ab:1", "a[bc]:1", "a[b?]:1:2"):
            await send(rig, topic, topic)
        assert (await groups_of(rig).groups())[0].lag == 1
        assert await contents(rig, "a[b?]:*") == ["a[b?]:1"]
