"""Finding the files that a recipe names, and scanning them whatever their format."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.reading.formats import (
    Form,
    is_metadata,
    kind_of,
    without_compression,
)
from towermill.workflows.sources.reading.jsonl import json_names, read_json
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.parquet import scan_parquet_files
from towermill.workflows.sources.reading.text.delimited import read_text
from towermill.workflows.sources.reading.text.text_types import inferred

#: Files that an error names.
_EXAMPLES = 3
_WANTED = (
    "Parquet (.parquet), CSV (.csv), TSV (.tsv) or JSON lines (.jsonl, .ndjson, .json; text also "
    "compressed: .gz, .bz2, .xz, .zst)"
)


def find_files(path: str | Path, what: str, form: Form | None = None) -> list[Path]:
    """Return the data files that a file, folder or glob names, sorted by path.

    Files and folders whose names begin with ``.`` or ``_`` are passed over in folders and globs
    (``.ipynb_checkpoints``, ``_temporary``, ``_delta_log``), as are checksums, READMEs, licences.
    Every other file must be data: none is left out without a word.

    Parameters
    ----------
    path
        A Parquet, CSV, TSV or JSON lines file; a folder (its own files, or where it has none those
        of the folders below); or a glob. A relative path is relative to the working directory.
    what
        The recipe's key, for the error message.
    form
        The format of all files, whatever their names are.

    Raises
    ------
    DataError
        Nothing is there, or files of no known format, or of more than one; a folder has files of
        its own and files below; a file is there twice, compressed and not.
    """
    root = Path(path).expanduser()
    if root.is_file():
        found = [root]
    elif root.is_dir():
        found = _in_folder(root, what)
    elif any(sign in str(path) for sign in "*?["):
        found = _in_glob(root)
    else:
        raise DataError(f"`{what}`: nothing is at {root} (working directory: {Path.cwd()}).")
    if not found:
        raise DataError(
            f"`{what}` should name {_WANTED} files, a folder of them, or a glob. Found none of "
            f"these at {root}."
        )
    _require_one_form(found, what, root, form)
    _require_once(found, what)
    return found


def _in_folder(root: Path, what: str) -> list[Path]:
    own: list[Path] = []
    below: list[Path] = []
    seen: set[Path] = set()
    # Links to folders are followed, as log rotation makes them; each folder is entered once.
    for place, folders, names in os.walk(root, followlinks=True):
        folder = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if name[0] not in "._" and not _known((folder / name).resolve(), seen)
        )
        (own if folder == root else below).extend(folder / name for name in names)
    own, below = _visible(own, root), _visible(below, root)
    if own and below:
        raise DataError(
            f"`{what}`: {root} should have data files either directly or in folders below it. "
            f"Found both, such as {own[0].relative_to(root)} and {below[0].relative_to(root)}. "
            f"Name what to read by a glob: {root / '*'}, or {root / '**' / '*'} for all."
        )
    return own or below


def _known(folder: Path, seen: set[Path]) -> bool:
    if folder in seen:
        return True
    seen.add(folder)
    return False


def _in_glob(root: Path) -> list[Path]:
    parts = root.parts
    first = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
    above = Path(*parts[:first])
    return _visible(above.glob(str(Path(*parts[first:]))), above)


def _visible(paths: Iterable[Path], above: Path) -> list[Path]:
    """Return the files of which no name below `above` is hidden, without metadata."""
    return sorted(
        p
        for p in paths
        if p.is_file()
        and not any(part[0] in "._" for part in p.relative_to(above).parts)
        and not is_metadata(p)
    )


def _require_one_form(found: list[Path], what: str, root: Path, form: Form | None) -> None:
    if form is not None:
        return
    kinds = {file: kind_of(file) for file in found}
    if strange := [file for file, kind in kinds.items() if kind is None]:
        named = ", ".join(file.name for file in strange[:_EXAMPLES])
        others = f" and {len(strange) - _EXAMPLES} more" if len(strange) > _EXAMPLES else ""
        raise DataError(
            f"`{what}` should name {_WANTED} files. Of {len(found)} files at {root}, "
            f"{len(strange)} have another ending: {named}{others}. Name those to read by a glob "
            "such as '*.csv', move the rest elsewhere, or set `source.format` to what all of them "
            "are."
        )
    forms = {kind.form for kind in kinds.values() if kind is not None}
    if len(forms) > 1:
        raise DataError(
            f"`{what}` should name files of one format. Found several at {root}: "
            f"{', '.join(sorted(forms))}. Give a glob such as {root / '*.parquet'}."
        )


def _require_once(found: list[Path], what: str) -> None:
    plain = set(found)
    for file in found:
        unpacked = without_compression(file)
        if unpacked != file and unpacked in plain:
            raise DataError(
                f"`{what}` should name each file once. Found {unpacked.name} and {file.name} in "
                f"{file.parent}, which look like the same rows. Move one of them elsewhere."
            )


def scan(
    files: Sequence[Path],
    overrides: Mapping[str, Any] | None = None,
    scratch: Path | None = None,
) -> pl.LazyFrame:
    """Return the rows of `files`, all of one format, in the order of the files.

    Columns of CSV and TSV are integers, numbers or Booleans where all rows are, and no integer has
    leading zeros; else text.

    Parameters
    ----------
    files
        As `find_files` returns them.
    overrides
        Columns that are String whatever their text looks like; ignored for Parquet and for columns
        that the files lack.
    scratch
        A folder for the parsed text; without one, CSV and TSV are read into memory.

    Raises
    ------
    DataError
        The header, schema or text of a file cannot be read.
    """
    kind = kind_of(files[0])
    if kind is not None and kind.form == "parquet":
        return scan_parquet_files(files)
    if kind is not None and kind.form == "jsonl":
        return _scan_json(files, scratch)
    text = [name for name, type_ in (overrides or {}).items() if type_ == pl.String]
    if scratch is not None:
        return inferred(read_text(files, ReadingOptions(), None, scratch).frame, text)
    with tempfile.TemporaryDirectory() as folder:
        frame = read_text(files, ReadingOptions(), None, Path(folder)).frame
        return inferred(frame, text).collect(engine="streaming").lazy()


def _scan_json(files: Sequence[Path], scratch: Path | None) -> pl.LazyFrame:
    options = ReadingOptions()
    names = json_names(files, options)
    if scratch is not None:
        return scan_parquet_files(read_json(files, options, names, scratch).files)
    with tempfile.TemporaryDirectory() as folder:
        parts = read_json(files, options, names, Path(folder)).files
        return scan_parquet_files(parts).collect(engine="streaming").lazy()
