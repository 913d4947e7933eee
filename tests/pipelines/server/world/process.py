"""A server of a stand-in in a process of its own, and its log."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class Process:
    """A server in a process, its log read as it is written."""

    def __init__(self, path: Path, *settings: str) -> None:
        script = Path(__file__).with_name("served.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(path), *settings],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = re.search(r"http://\S+", self.wait_for("serving bundle")["message"])
        assert found
        self.url = found[0]
        self.wait_for("startup complete")

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._news:
                # What Python itself says, such as a warning, is no JSON.
                said = json.loads(line) if line.startswith("{") else {"message": line}
                self.log.append(said)
                self._news.notify_all()

    def lines(self, said: str) -> list[dict[str, Any]]:
        return [line for line in self.log if said in line["message"]]

    def wait_for(self, said: str) -> dict[str, Any]:
        with self._news:
            assert self._news.wait_for(lambda: self.lines(said), 120), self.log
        return self.lines(said)[-1]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        return code
