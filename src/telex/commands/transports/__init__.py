"""How a command reaches the hub that serves it: inside one process, or over an engine."""
