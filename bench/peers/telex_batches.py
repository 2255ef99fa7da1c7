"""telex, read by `batches()`: all that waits at once."""

from bench.peers import telex_iterate


class Peer(telex_iterate.Peer):
    async def _read(self, number: int) -> int:
        count = 0
        async with self._subscriptions[number] as inbox:
            async for batch in inbox.batches():
                count += len(batch)
        return count
