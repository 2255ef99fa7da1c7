"""LimitRegistry of the rate and of the concurrency of calls, per key, over all processes that share an engine."""
