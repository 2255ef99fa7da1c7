"""Middleware of handlers and commands: the public name of `telex.handlers.middleware`."""

from telex.handlers.middleware import Middleware, Next, deduplicate, rate_limit, retry, timeout

__all__ = ["Middleware", "Next", "deduplicate", "rate_limit", "retry", "timeout"]
