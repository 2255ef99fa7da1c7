"""The hubs and the gate of the tests of commands: keys are those of commands."""

from tests.unit.commands.conftest import file, gate, url

__all__ = ["file", "gate", "url"]
