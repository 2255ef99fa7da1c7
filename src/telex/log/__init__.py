"""The kernel: logs, cursors and overflow policies. No asyncio, no clock, no I/O."""
