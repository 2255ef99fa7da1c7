"""Which messages of a group are leased next."""

from pathlib import Path
from time import time
from typing import Any

import pytest

from telex.engines import Fetched, Settlement
from telex.engines.fetching import Attempt, Lease, Release
from tests.support.internals import client_of
from tests.unit.engines.sqlite.rigs import G, ask, claim, groups_of, rigs_on, send, settle


async def test_a_claim_that_finds_nothing_writes_nothing(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        for pattern in ("a:1", "a:*"):
            await rig.join(G, pattern)
        await send(rig, "a:1", "x", "y", key="k")
        await send(rig, "b:1", *range(50))
        before = {pattern: await claim(rig, pattern) for pattern in ("a:1", "a:*")}
        for pattern in before:
            await claim(rig, pattern)  # the last one found something, so this one may write
        await send(rig, "b:1", "is nobody's")
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        for pattern in before:
            claimed = await claim(rig, pattern)
            assert (list(claimed.deliveries), claimed.lag) == ([], 2)
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits
        for pattern in before:
            assert await groups_of(rig).change(G, pattern, "pause")
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        for pattern in before:
            assert await claim(rig, pattern, now=time() + 100) == Fetched((), 2)
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits


async def test_a_key_that_nobody_gets_done_does_not_hold_its_topic(
    tmp_path: Path,
) -> None:
    async with rigs_on(tmp_path, behind_messages=3) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", *range(10), key="hot")
        await send(rig, "a:1", "other")
        assert len((await claim(rig, "a:1")).deliveries) == 1
        claimed = await claim(rig, "a:1")
        assert (list(claimed.deliveries), claimed.lag) == ([], 11)
        assert ask(tmp_path, "SELECT count(*) FROM telex_claims") == [(4,)]
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        await claim(rig, "a:1")
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits
        seen: list[Any] = []
        while len(seen) < 11:
            claimed = await claim(rig, "a:1", now=time() + 31 if not seen else None)
            for delivery in claimed.deliveries:
                seen.append(delivery.message.content)
                done = [Settlement(delivery.position, delivery.token, "ack")]
                assert await settle(rig, "a:1", done) == [True]
        assert [content for content in seen if content != "other"] == list(range(10))


@pytest.mark.parametrize(("others", "empty"), [(100, 3), (10, 0), (30, 1)])
async def test_a_claim_looks_at_a_bounded_number_of_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int, empty: int
) -> None:
    async with rigs_on(tmp_path, page_messages=10, pages=3) as (rig,):
        await rig.join(G, "a:*")
        await send(rig, "b:1", *range(others))
        await send(rig, "a:1", "found")
        await send(rig, "b:1", *range(40))
        fetches, claims = client_of(rig.engine).fetches, list[float | None]()
        fetch = fetches.fetch

        async def counted(pattern: str, wait: float, lease: Lease, release: Release) -> Fetched:
            async def leased(is_published: bool) -> Attempt:
                found = await lease(is_published)
                claims.append(found.due)
                return found

            fetched: Fetched = await fetch(pattern, wait, leased, release)
            return fetched

        monkeypatch.setattr(fetches, "fetch", counted)
        (found,) = (await groups_of(rig).fetch(G, "a:*", 100, 30.0, "me", 10.0)).deliveries
        assert claims[:-1] == [0.0] * empty, "it asks again at once"
        assert found.message.content == "found"
