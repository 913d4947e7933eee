"""Check that all workers of a cluster see the files that a run reads and writes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
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
    _refuse(answers, "Choose another folder with --out. ")


def require_readable(client: Any, files: Iterable[Path]) -> None:
    """Check that each worker can read `files`, under the same paths.

    Raises
    ------
    SetupError
        Names the workers and what they lack.
    """
    needed = [str(file.absolute()) for file in files]
    _refuse(client.run(unreadable, needed))


def _refuse(answers: Mapping[str, str], advice: str = "") -> None:
    lacking = {worker: path for worker, path in answers.items() if path}
    if lacking:
        worker, path = next(iter(lacking.items()))
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise SetupError(
            "Runs, bundles and raw data should be on storage that every worker of the cluster sees "
            f"under the same path. The worker {worker}{more} cannot {path}. {advice}Mount "
            "the same storage on all, or leave those workers out."
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
