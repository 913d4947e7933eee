"""The finished output of a stage: its manifest, and a check that all its files exist."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from towermill.errors import DataError

MANIFEST: Final = "manifest.json"


def sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file under `folder`, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished output; None where there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and {
        "finished",
        "files",
        "made_from",
        "ingredients",
    } <= set(manifest)
    return manifest if whole else None


def lost(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """Return the first file that the manifest names and that is gone or of another size."""
    for name, size in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return str(name)
    return None


def made_again(manifest: Mapping[str, Any], inputs: Mapping[str, Path]) -> str | None:
    """Return the first input that was made again, by force, after this output."""
    for name, folder in inputs.items():
        newer = read_manifest(folder)
        if newer is not None and newer["finished"] != manifest["made_from"][name]:
            return name
    return None


def require_target(out: Path) -> None:
    """Make the folder of a file that will be written; raise `DataError` if it cannot be."""
    problem = "it is a folder" if out.is_dir() else ""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out.parent, os.W_OK | os.X_OK):
            problem = f"{out.parent} cannot be written to"
    except OSError as error:
        problem = str(error)
    if problem:
        raise DataError(f"--out should name a file that can be written. {out}: {problem}.")
