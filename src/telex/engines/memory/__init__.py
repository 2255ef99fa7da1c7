"""``memory://``: logs, groups and records in the memory of one process."""
