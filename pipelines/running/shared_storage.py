"""Check that all workers of a cluster see the files that a run reads and writes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from towermill.errors import SetupError


def require_shared(client: Any, root: Path, files: Iterable[Path] = ()) -> None:
    """Check that each worker can write to `root` and read `files`, under the same paths.

    Raises
    ------
    SetupError
        Names the workers and what they lack.
    """
    token = root.absolute() / f".shared-{uuid.uuid4().hex}"
    token.touch()
    try:
        needed = [str(file.absolute()) for file in files]
        answers = client.run(missing, str(token), needed)
    finally:
        token.unlink(missing_ok=True)
    lacking = {worker: path for worker, path in answers.items() if path}
    if lacking:
        worker, path = next(iter(lacking.items()))
        more = f" and {len(lacking) - 1} more" if lacking.keys() - {worker} else ""
        raise SetupError(
            "Runs and raw data should be on storage that every worker of the cluster sees under "
            f"the same path. The worker {worker}{more} cannot {path}. Choose another folder with "
            "--out, mount the same on all, or leave those workers out."
        )


def require_readable(client: Any, files: Iterable[Path]) -> None:
    """Check that each worker can read `files`, under the same paths.

    Raises
    ------
    SetupError
        Names a worker and what it lacks.
    """
    needed = [str(file.absolute()) for file in files]
    for worker, path in client.run(unreadable, needed).items():
        if path:
            raise SetupError(
                f"Every worker of the cluster should see the same files under the same path. The "
                f"worker {worker} cannot {path}. Mount the same on all, or leave it out."
            )


def unreadable(files: Sequence[str]) -> str:
    """Return what this process cannot read: a phrase, empty if it can read all."""
    return next((f"read {file}" for file in files if not os.access(file, os.R_OK)), "")


def missing(token: str, files: Sequence[str]) -> str:
    """Return what this process cannot do: a phrase, empty if there is nothing."""
    root = str(Path(token).parent)
    if not Path(token).is_file() or not os.access(root, os.W_OK | os.X_OK):
        return f"write to {root}"
    return unreadable(files)
