"""The asyncio shell over a log: topics, publishers, subscriptions and their registry."""
