"""The logs of the schema's topics."""

import pytest

from telex.engines.postgres import PostgresEngine
from telex.testing.conformance.rig import Rig, message
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


@pytest.mark.slow
async def test_imported_messages_are_stored_once_for_all_time(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "adopted"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        (made,) = await rig.send(T, "made")
        await rig.send(T, "given", id="given")
        await connection.execute("UPDATE adopted.ids SET time = 0")
        drafts = [message(T, n, id=id) for n, id in enumerate([made.id, "given", "new"])]
        assert [m.id for m in await engine.store.append(drafts, adopt=True)] == ["new"]
        assert await engine.store.append(drafts, adopt=True) == []
        await connection.execute("UPDATE adopted.ids SET time = 0")
        assert await engine.store.append(drafts, adopt=True) == []
