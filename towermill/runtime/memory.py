"""The largest resident memory of this process, as Linux counts it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


def reset_peak_memory() -> None:
    """Begin to count the largest resident memory anew, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Return the largest resident memory since `reset_peak_memory`, in bytes; None if not known.

    Examples
    --------
    >>> from towermill.runtime.memory import peak_memory, reset_peak_memory
    >>> reset_peak_memory()
    >>> (peak_memory() or 2**30) > 2**20
    True
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024
