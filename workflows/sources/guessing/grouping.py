"""Files to tables: parts of one table, folders of several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from towermill.errors import DataError, TowermillError
from towermill.workflows.sources import SOURCES
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.guessing.sample import Sample, open_sample
from towermill.workflows.sources.reading.files import find_files
from towermill.workflows.sources.reading.formats import is_metadata

#: Files of a folder that are opened.
_MOST = 1000


@dataclass(frozen=True)
class Found:
    """The tables at some paths.

    Attributes
    ----------
    tables
        A sample of each.
    skipped
        Files that are no tables, and why.
    """

    tables: list[Sample]
    skipped: dict[str, str]


def recognised(paths: Sequence[str]) -> SourceConfig | None:
    """Return the source of a published data set whose folder is given alone, or None."""
    folder = Path(paths[0]).expanduser()
    if len(paths) != 1 or not folder.is_dir():
        return None
    for kind in SOURCES.names():
        try:
            found = SOURCES.get(kind).recognise(paths[0])
        except TowermillError:
            found = None
        if found is not None:
            return found
    return None


def find_tables(paths: Sequence[str]) -> Found:
    """Return the tables that files and folders hold.

    Files of one folder with the same columns, in the same format, are one table.

    Raises
    ------
    DataError
        Nothing is at a path, or no file is a table.
    """
    groups: dict[object, list[Sample]] = {}
    skipped: dict[str, str] = {}
    for path in paths:
        for file in _files(path):
            try:
                sample = open_sample(file)
            except DataError as error:
                skipped[str(file)] = str(error)
                continue
            signature = (sample.form, tuple(sample.frame.columns), str(sample.reading))
            key = (file.parent, signature) if sample.named or _is_part(file) else file
            groups.setdefault(key, []).append(sample)
    if not groups:
        reasons = "".join(f"\n  {reason}" for reason in list(skipped.values())[:5])
        raise DataError(
            f"Expected tables (CSV, TSV, Parquet or JSON lines) at {', '.join(paths)}. Found none."
            f"{reasons or ' The folder is empty.'}"
        )
    alone = len(groups) == 1
    return Found([_joined(group, paths, alone) for group in groups.values()], skipped)


def _files(path: str) -> list[Path]:
    root = Path(path).expanduser()
    if root.is_file():
        return [root]
    if root.is_dir():
        found = list(_below(root))
        if len(found) > _MOST:
            raise DataError(
                f"{root} should have at most {_MOST} files. Found {len(found)}: name those that "
                "belong to the log, or write the recipe with a glob."
            )
        return found
    if any(sign in path for sign in "*?["):
        return find_files(path, "DATA")
    raise DataError(f"Nothing is at {root} (working directory: {Path.cwd()}).")


def _below(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        for name in sorted(names):
            if name[0] not in "._" and not is_metadata(Path(name)):
                yield Path(place) / name


def _is_part(file: Path) -> bool:
    return file.name.lower().startswith("part")


def _joined(group: list[Sample], paths: Sequence[str], alone: bool) -> Sample:
    """Return the parts of one table as one: a folder, a glob, or the largest file."""
    if len(group) == 1:
        return group[0]
    files = sorted(file for sample in group for file in sample.files)
    rows = sum(sample.rows for sample in group)
    first = replace(group[0], files=tuple(files), rows=rows, whole=False)
    folder = files[0].parent
    beginning = _common([file.name for file in files])
    ending = _common([file.name[::-1] for file in files])[::-1]
    patterns = [str(folder)] if alone and str(folder) in paths else []
    for pattern in [*patterns, f"{folder}/{beginning}*{ending}"]:
        try:
            if find_files(pattern, "DATA", first.reading.get("format")) == files:
                return replace(first, path=pattern)
        except DataError:
            continue
    return max(group, key=lambda sample: sample.rows)


def _common(names: Sequence[str]) -> str:
    """Return the characters with which all names begin."""
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False))
    return "".join(signs[0] for signs in alike)
