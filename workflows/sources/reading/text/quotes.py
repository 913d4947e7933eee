"""Quotes in CSV and TSV files that may not be quoting at all."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from towermill.errors import DataError
from towermill.workflows.sources.reading.text.batches import batches
from towermill.workflows.sources.reading.text.text_files import Glance, TextFile

_ADVICE = (
    "If quotes are plain characters here, set `source.quote_char: null`; otherwise mend the file."
)


def check_quotes(file: TextFile, path: Path, seen: Glance, records: int) -> None:
    """Refuse quotes that join lines, that are not closed, or that text follows.

    Files of which every line is a record, quoted or not, need no second look. A field may hold line
    ends, unless each of its lines would be a record by itself: then there are two readings.

    Parameters
    ----------
    file
        Plain UTF-8 text, perhaps compressed.
    path
        What an error calls it.
    records
        How many were read, without the header.

    Raises
    ------
    DataError
        Quotes are not as described.
    """
    whole = records + (file.names is None) == seen.lines and not seen.odd_quotes
    if not whole:
        unquoted = _records_without_quotes(file)
        if unquoted is not None and unquoted > records:
            raise DataError(
                f"{path}: quotes should enclose whole fields. Read as quoting, they join lines: "
                f"there are {records} rows; read as plain characters, there are {unquoted}, each "
                f"with all fields. {_ADVICE}"
            )
    line = 0
    try:
        if whole:
            list(csv.reader([seen.last_line], delimiter=file.separator, strict=True))
        else:
            for record in file.records(strict=True):
                line = record[0]
    except csv.Error as error:
        where = f"line {seen.lines}" if whole else f"after line {line}"
        raise DataError(
            f"{path}, {where}: quotes should enclose whole fields, and be closed and doubled "
            f"within one. Found otherwise: {error}. {_ADVICE}"
        ) from error


def _records_without_quotes(file: TextFile) -> int | None:
    """Return how many records there are if quotes are plain; None if a line is none."""
    plain = replace(file, quote=None)
    columns = [next(name for name in plain.header() if name)]

    def stop(row: Any) -> str:
        return "error" if row.text.strip() else "skip"

    try:
        return sum(int(batch.num_rows) for batch in batches(plain, columns, (), stop))
    except pa.ArrowException:
        return None
