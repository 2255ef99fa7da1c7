"""Tests of what has no asyncio in it: names, messages, logs, cursors, policies."""
