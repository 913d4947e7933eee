"""Finding the files that a recipe names, and scanning them whatever their format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from towermill.errors import DataError

#: Endings by format; `.parquet.brotli` is how pandas users write Parquet with a named codec.
_ENDINGS = {
    "parquet": (".parquet", ".pq", ".parquet.brotli", ".parquet.snappy", ".parquet.gzip"),
    "csv": (".csv",),
    "tsv": (".tsv",),
}
#: Rows from which the types of a CSV's columns are inferred.
_INFER_ROWS = 10_000


def file_format(path: Path) -> str | None:
    """Return ``parquet``, ``csv`` or ``tsv`` by the file's name, or None for any other."""
    name = path.name.lower()
    return next((form for form, ends in _ENDINGS.items() if name.endswith(ends)), None)


def find_files(path: str | Path, what: str) -> list[Path]:
    """Return the data files that a file, folder or glob names, sorted by path.

    Parameters
    ----------
    path
        A Parquet, CSV or TSV file; a folder (its own files, or where it has none those of the
        folders below; hidden files and those that begin with ``_`` are passed over); or a glob.
        A relative path is relative to the working directory.
    what
        The recipe's key, for the error message.

    Raises
    ------
    DataError
        Nothing is there, or files of no known format, or of more than one.
    """
    root = Path(path).expanduser()
    if root.is_file():
        found = [root]
    elif root.is_dir():
        found = _visible(root.glob("*")) or _visible(root.rglob("*"))
    elif any(sign in str(path) for sign in "*?["):
        parts = root.parts
        first = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
        found = _visible(Path(*parts[:first]).glob(str(Path(*parts[first:]))))
    else:
        raise DataError(f"`{what}`: nothing is at {root} (working directory: {Path.cwd()}).")
    formats = {file_format(file) for file in found}
    if not found or None in formats:
        raise DataError(
            f"`{what}` should name Parquet (.parquet), CSV (.csv) or TSV (.tsv) files, a folder of "
            f"them, or a glob. Found none of these at {root}."
        )
    if len(formats) > 1:
        raise DataError(
            f"`{what}` should name files of one format. Found several at {root}: "
            f"{', '.join(sorted(map(str, formats)))}. Give a glob such as {root / '*.parquet'}."
        )
    return found


def _visible(paths: Any) -> list[Path]:
    return sorted(
        p for p in paths if p.is_file() and p.name[0] not in "._" and file_format(p) is not None
    )


def scan(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> pl.LazyFrame:
    """Return the rows of `files`, all of one format, in the order of the files.

    Parameters
    ----------
    files
        As `find_files` returns them.
    overrides
        Types for columns of a CSV or TSV, instead of inferred ones; ignored for Parquet and for
        columns that the file lacks.

    Raises
    ------
    DataError
        The header or schema of a file cannot be read.
    """
    form = file_format(files[0])
    try:
        if form == "parquet":
            frame = pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
            frame.collect_schema()
            return frame
        separator = "\t" if form == "tsv" else ","
        frame = pl.scan_csv(
            list(files), separator=separator, infer_schema_length=_INFER_ROWS, glob=False
        )
        names = frame.collect_schema().names()
        wanted = {name: kind for name, kind in (overrides or {}).items() if name in names}
        if wanted:
            frame = pl.scan_csv(
                list(files),
                separator=separator,
                infer_schema_length=_INFER_ROWS,
                schema_overrides=wanted,
                glob=False,
            )
            frame.collect_schema()
        return frame
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"Cannot read {files[0]} as {form}: {error}") from error
