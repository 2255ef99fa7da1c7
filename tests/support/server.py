"""A chat room as a process of its own, on a port of its own."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

WITHIN = 20.0
"""Seconds that starting and stopping may take on a loaded machine."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TELEX_")}


class ChatServer:
    """``telex chat``. `start` may be called again after `kill` or `stop`, and takes the same port."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._port = 0

    def start(self) -> Self:
        command = [sys.executable, "-m", "telex", "chat", "--json", "--port", str(self._port), *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        threading.Thread(target=lambda out=self.process.stdout: lines.put(out.readline()), daemon=True).start()
        ready = json.loads(lines.get(timeout=WITHIN))
        self.page, self.gateway = ready["page"], ready["gateway"]
        self._port = int(self.page.rpartition(":")[2])
        return self

    def kill(self) -> None:
        """End it without a word to anybody."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WITHIN)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
