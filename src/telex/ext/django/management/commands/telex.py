"""``manage.py telex``: the program ``telex`` in a project of Django, and the worker of its tasks."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from telex.cli.app import run
from telex.cli.program import run_hub
from telex.errors import TelexError

if TYPE_CHECKING:
    BaseCommand = object  # Django has no types
else:
    from django.core.management.base import BaseCommand


class TelexCommand(BaseCommand):
    """``manage.py telex worker`` runs tasks; the other commands are those of ``telex``, on the engine of the tasks."""

    help = "Run the worker of tasks (manage.py telex worker), or a command of telex, such as manage.py telex jobs list."

    def add_arguments(self, parser: Any) -> None:
        """Take all arguments."""
        self.parser = parser
        parser.add_argument("--backend", default="default", help="the task backend of TASKS")
        parser.add_argument("--queue", action="append", help="a queue of the worker; may be repeated (default: all)")
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="worker, or a command of telex")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until the command ends, or the worker is stopped by SIGINT or SIGTERM."""
        from telex.ext.django.tasks import TelexBackend, backend_of

        arguments = options["arguments"]
        if arguments[:1] == ["worker"] and {"-h", "--help"}.intersection(arguments):
            sys.stdout.write(self.parser.format_help())
            return
        try:
            backend = backend_of(options["backend"])
        except (ImproperlyConfigured, TelexError) as error:
            raise CommandError(str(error)) from error
        if not isinstance(backend, TelexBackend):
            raise CommandError(
                f"the task backend {options['backend']!r} is not of telex: "
                "set its BACKEND in TASKS to 'telex.ext.django.tasks.TelexBackend'"
            )
        if arguments[:1] == ["worker"]:
            if arguments[1:]:
                raise CommandError("give options before the word: manage.py telex --queue mails worker")
            try:
                hub = backend.worker(options["queue"])
            except TelexError as error:
                raise CommandError(str(error)) from error
            code = run_hub(hub, announce="tasks of Django")
        else:
            os.environ["TELEX_URL"] = backend.url
            code = run(arguments or ["--help"])
        if code:
            raise SystemExit(code)


Command = TelexCommand
"""The name by which Django finds the command."""
