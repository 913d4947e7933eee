"""Run a command, undisturbed or disturbed at a point, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_MAIN = "from towermill.cli.app import main; main()"


@dataclass(frozen=True)
class Done:
    """What became of a command: its exit code, and what it said."""

    code: int
    said: str


def run(folder: Path, command: str, fault: str = "") -> Done:
    """Run a command of `towermill` in a folder.

    Parameters
    ----------
    folder
        Its working directory.
    command
        Its arguments.
    fault
        ``kill:<n>`` or ``refuse:<n>``: what happens at the nth change of a file below the folder.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if fault:
        environment |= {"TOWERMILL_FAULT": f"{fault}:{folder}", "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *_absolute(folder, command.split())],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout + done.stderr)


def changes(folder: Path, command: str) -> int:
    """Return how many changes of files an undisturbed run of a command makes in a folder."""
    reading, writing = os.pipe()
    environment = {
        **os.environ,
        "TOWERMILL_FAULT": f"count:{writing}:{folder}",
        "PYTHONPATH": str(HERE),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN, *_absolute(folder, command.split())],
        cwd=folder,
        env=environment,
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    count = 0
    while block := os.read(reading, 1 << 16):
        count += len(block)
    os.close(reading)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return count


def _absolute(folder: Path, words: list[str]) -> list[str]:
    """Return arguments whose paths are absolute, so that changes below the folder are seen."""
    made = ("runs/", "predictions", "all.parquet", "made/", "models", "items.parquet")
    found = [str(folder / word) if word.startswith(made) else word for word in words]
    takes_out = words[0] in ("run", "tune", "simulate")
    return [*found, "--out", str(folder / "runs")] if takes_out else found
