"""List finished runs, and remove outputs that no latest run needs."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from towermill.errors import DataError
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.stages.output import read_manifest
from towermill.pipelines.stages.stages import STAGE_NAMES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunRow:
    """A finished run in the list of runs.

    Attributes
    ----------
    recipe, key
        Its recipe's name, and the name of its folder.
    finished
        When its last stage was finished, as ISO 8601 in UTC.
    metric, value
        The deciding metric; None where the run's metrics cannot be read.
    seconds
        How long its stages took, together.
    latest
        Whether ``latest`` points at it.
    path
        Its folder.
    """

    recipe: str
    finished: str
    metric: str | None
    value: float | None
    seconds: float
    key: str
    latest: bool
    path: Path


def list_runs(out: Path) -> list[RunRow]:
    """Return the finished runs under the folder `out`, newest first.

    Examples
    --------
    >>> list_runs(Path("nowhere"))
    []
    """
    rows = []
    for folder in out.glob("*/by-run/*"):
        try:
            run = RunFiles.of(folder)
        except DataError as error:
            logger.debug("%s", error)
            continue
        metric, value = _deciding(run)
        latest = (folder.parents[1] / "latest").resolve() == run.path
        recipe = folder.parents[1].name
        rows.append(
            RunRow(recipe, run.finished, metric, value, run.seconds, run.key, latest, folder)
        )
    return sorted(rows, key=lambda row: row.finished, reverse=True)


def _deciding(run: RunFiles) -> tuple[str | None, float | None]:
    try:
        return run.deciding, run.value
    except (DataError, KeyError):  # of an older Towermill
        return None, None


def unused(out: Path) -> list[Path]:
    """Return the outputs under `out` that no ``latest`` points at, and no stage of it reads.

    Those are folders of finished stages, and of links to them. Folders without a finished latest
    run keep everything, and so do those of recipes that are running. Unfinished outputs, which a
    killed run resumes from, are kept too.
    """
    roots = [root for root in sorted(out.glob("*")) if _is_of_runs(root)]
    kept: set[Path] = set()
    for root in roots:
        kept.add((root / "latest").resolve())
        for name in STAGE_NAMES:
            kept |= set(_with_inputs((root / "latest" / name).resolve()))
    found = []
    for root in roots:
        if _busy(root):
            logger.warning("%s is running: nothing of it is removed.", root.name)
            continue
        outputs = [path for name in STAGE_NAMES for path in sorted(root.glob(f"{name}/*"))]
        outputs = [path for path in outputs if read_manifest(path) is not None]
        links = [path for path in sorted(root.glob("by-run/*")) if path.is_dir()]
        found += [p for p in [*outputs, *links] if p.resolve() not in kept]
    return found


def _is_of_runs(root: Path) -> bool:
    """Return whether a folder holds a recipe's runs, the latest of them finished."""
    try:
        RunFiles.of(root / "latest")
    except (DataError, OSError):
        return False
    return True


def _with_inputs(folder: Path) -> Iterator[Path]:
    """Yield the output of a stage, and all that it was made from."""
    yield folder
    manifest = read_manifest(folder)
    for path in () if manifest is None else manifest.inputs.values():
        yield from _with_inputs(Path(path).resolve())


def _busy(root: Path) -> bool:
    """Return whether a process holds a lock of the recipe's runs."""
    for path in root.glob(".locks/*"):
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def size(folders: Sequence[Path]) -> int:
    """Return the bytes of all files in some folders; links count nothing."""
    files = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())


def remove(folders: Sequence[Path]) -> None:
    """Remove folders; each is renamed first, so that no half of one looks whole."""
    for folder in folders:
        going = folder.with_name(f".{folder.name}.removed")
        folder.rename(going)
        shutil.rmtree(going)
