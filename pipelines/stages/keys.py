"""Compute the key of a stage's run, and explain how two keys differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from towermill.errors import DataError

#: A file up to this size is hashed whole; a larger one by its ends, size and time of change.
WHOLE_FILE_BYTES = 64 * 2**20
_END_BYTES = 2**20
#: Letters of a value that a reason shows.
_LONG = 60


def fingerprint(path: Path) -> str:
    """Return a digest of a raw file that changes when its content does."""
    status = path.stat()
    digest = hashlib.sha256(str(status.st_size).encode())
    with path.open("rb") as file:
        if status.st_size <= WHOLE_FILE_BYTES:
            digest.update(file.read())
        else:
            digest.update(str(status.st_mtime_ns).encode())
            digest.update(file.read(_END_BYTES))
            file.seek(-_END_BYTES, 2)
            digest.update(file.read())
    return digest.hexdigest()[:16]


def fingerprints(files: Iterable[Path]) -> dict[str, str]:
    """Return each file's name and fingerprint; raise `DataError` for one that cannot be read."""
    found = {}
    for file in files:
        try:
            found[str(file)] = fingerprint(file)
        except OSError as error:
            raise DataError(f"Cannot read the raw file {file}: {error.strerror}.") from error
    return found


def key_of(ingredients: Mapping[str, Any]) -> str:
    """Return the key of a stage's ingredients."""
    content = json.dumps(ingredients, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what changed between two runs' ingredients, a short phrase each."""
    reasons = []
    if old.get("code") != new.get("code"):
        reasons.append("code changed")
    for stage in new.get("inputs", {}):
        if old.get("inputs", {}).get(stage) != new["inputs"][stage]:
            reasons.append(f"{stage} changes")
    reasons += _changed_files(old.get("files", {}), new.get("files", {}))
    reasons += _changed_settings(old.get("packages", {}), new.get("packages", {}), ())
    reasons += _changed_settings(old.get("settings", {}), new.get("settings", {}), ())
    return reasons


def _changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = sorted({*old, *new})
    return [
        f"raw file {Path(name).name} {_became(name in old, name in new)}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _became(was: bool, is_now: bool) -> str:
    return "changed" if was and is_now else "added" if is_now else "removed"


def _changed_settings(old: Any, new: Any, at: Sequence[str]) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        reasons = []
        for name in sorted({*old, *new}):
            reasons += _changed_settings(old.get(name), new.get(name), (*at, name))
        return reasons
    return [] if old == new else [f"{'.'.join(at)}: {_short(old)} → {_short(new)}"]


def _short(value: Any) -> str:
    """Return a value as text; of a section, its kind, and of long text its beginning."""
    if isinstance(value, Mapping) and value:
        return str(value.get("kind", "{…}"))
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
