"""The finished output of a stage: its manifest, and a check that all its files exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from towermill.errors import DataError
from towermill.section import Section

MANIFEST: Final = "manifest.json"


def sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file under `folder`, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class StageManifest(Section):
    """What a finished output of a stage is, and what it was made from: ``manifest.json``.

    Parameters
    ----------
    stage, key
        Its name, and the key of `ingredients`.
    finished
        When, as ISO 8601 in UTC.
    seconds, device
        How long it took, and on ``cpu`` or ``gpu``.
    towermill
        Towermill's version.
    reason
        Why it ran.
    peak_memory
        The largest resident memory of its process while it ran, in bytes; None if not known.
    made_from
        Input to the moment at which that input was finished.
    inputs
        Input to its folder.
    files
        File of the output to its size in bytes.
    ingredients
        All that the key depends on: code, settings, packages, inputs and raw files.
    """

    version: Literal[1] = 1
    stage: str
    key: str
    finished: str
    seconds: float
    towermill: str
    device: str
    made_from: dict[str, str]
    inputs: dict[str, str]
    files: dict[str, int]
    ingredients: dict[str, Any]
    reason: str = ""
    peak_memory: int | None = None


def read_manifest(folder: Path) -> StageManifest | None:
    """Return the manifest of a finished output; None where there is none that can be read."""
    try:
        return StageManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def lost(folder: Path, manifest: StageManifest) -> str | None:
    """Return the first file that the manifest names and that is gone or of another size."""
    for name, size in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return name
    return None


def made_again(manifest: StageManifest, inputs: Mapping[str, Path]) -> str | None:
    """Return the first input that was made again, by force, after this output."""
    for name, folder in inputs.items():
        newer = read_manifest(folder)
        if newer is not None and newer.finished != manifest.made_from[name]:
            return name
    return None


def require_target(out: Path) -> None:
    """Make the folder of a file that will be written; raise `DataError` if it cannot be."""
    problem = "it is a folder" if out.is_dir() else ""
    if out.suffix in (".csv", ".tsv", ".json"):
        problem = f"it is written as Parquet, and {out.suffix} says something else"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK | os.X_OK):
            problem = f"{out.parent} cannot be written to"
    except OSError as error:
        problem = str(error)
    if problem:
        raise DataError(f"--out should name a file that can be written. {out}: {problem}.")
