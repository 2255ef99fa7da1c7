"""Transports of commands to the hub that serves them: inside one process, or over an engine."""
