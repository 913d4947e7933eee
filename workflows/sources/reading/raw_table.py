"""The raw columns of a table, typed, from files of any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.sources.reading.casting import id_expr, require
from towermill.workflows.sources.reading.formats import form_of
from towermill.workflows.sources.reading.ids import id_of_text, id_text
from towermill.workflows.sources.reading.jsonl import json_names, read_json
from towermill.workflows.sources.reading.options import Declared, ReadingOptions
from towermill.workflows.sources.reading.parquet import (
    check_pages,
    parquet_schema,
    scan_parquet_files,
)
from towermill.workflows.sources.reading.text.delimited import read_text
from towermill.workflows.sources.reading.text.text_files import TextFile
from towermill.workflows.sources.reading.text.text_types import Role, TextColumns

#: Reasons for which `on_bad_row: drop` leaves out a row.
_BAD_FIELDS, _BAD_VALUE = "wrong number of fields", "unreadable value"


@dataclass(frozen=True)
class RawTable:
    """Raw columns in their types.

    Attributes
    ----------
    frame
        The columns.
    what
        The table, for errors.
    options, types
        As in `TextColumns`.
    is_text
        Whether they were read from CSV, TSV or JSON lines.
    dropped
        Rows left out, by reason; reasons without a row are absent.
    """

    frame: pl.LazyFrame
    what: str
    options: ReadingOptions
    types: Mapping[str, Declared]
    is_text: bool
    dropped: dict[str, int] = field(default_factory=dict)

    def id(self, column: str) -> pl.Expr:
        """Return a column of ids as Int64 or String."""
        kind = self.frame.collect_schema()[column]
        found = id_expr(self.frame, column, self.what)
        declared = self.types.get(column)
        if self.is_text or (kind.is_numeric() and declared != "text"):
            return found
        if kind.is_numeric():
            return found.cast(pl.String)
        if declared is not None:
            return id_of_text(self.frame, column, self.what, self.options, declared)
        return id_text(column, self.options)


def role_of(feature: Feature) -> Role:
    """Return what a feature's column is read for."""
    encoder = feature.encoder
    return "text" if encoder.reads_text else encoder.text_holds


def column_names(files: Sequence[Path], options: ReadingOptions) -> list[str]:
    """Return the names of the columns of the first file; of JSON lines, those of all files.

    Raises
    ------
    DataError
        A header cannot be read, or names are given for files that have their own.
    """
    form = form_of(files[0], options.format)
    if options.columns is not None and form not in ("csv", "tsv"):
        raise DataError(
            f"`columns` names the fields of CSV and TSV files without a header. {files[0]} is read "
            f"as {form}, which has names of its own: leave the key out."
        )
    if form == "parquet":
        return parquet_schema(files[0]).names()
    if form == "jsonl":
        return json_names(files, options)
    return TextFile.of(files[0], options).header()


def open_table(
    files: Sequence[Path],
    what: str,
    options: ReadingOptions,
    types: Mapping[str, Declared],
    roles: Mapping[str, Role],
    held: Sequence[str],
    scratch: Path,
) -> RawTable:
    """Open columns of `files`, typed by their roles.

    Parameters
    ----------
    what
        The table, for errors.
    types
        What the recipe declares of columns.
    roles
        What each column is read for.
    held
        The columns of the first file.
    scratch
        A folder for parsed text.

    Raises
    ------
    DataError
        A column is missing, or cannot be read as what it is for.
    """
    require(held, list(roles), what)
    form = form_of(files[0], options.format)
    if form == "jsonl":
        lines = read_json(files, options, list(roles), scratch)
        frame = scan_parquet_files(lines.files, list(roles), types)
        return _typed(TextColumns(frame, what, options, types, lines.place), roles, lines.dropped)
    if form != "parquet":
        text = read_text(files, options, list(roles), scratch)
        columns = TextColumns(text.frame, what, options, types, text.place)
        return _typed(columns, roles, text.dropped)
    frame = scan_parquet_files(files, list(roles), types)
    check_pages(files, list(roles))
    schema = frame.collect_schema()
    as_text = [n for n, role in roles.items() if role == "time" and schema[n] == pl.String]
    declared = [n for n in types if roles.get(n, "id") != "id" and schema[n] != pl.List]
    if (as_text and options.date_format) or declared:
        columns = TextColumns(frame, what, options, types)
        typed = columns.replaced({name: roles[name] for name in {*as_text, *declared}})
        dropped = _some({_BAD_VALUE: typed.dropped})
        return RawTable(typed.frame, what, options, types, False, dropped)
    return RawTable(frame, what, options, types, False)


def _typed(columns: TextColumns, roles: Mapping[str, Role], bad: int) -> RawTable:
    """Return columns of text files, typed, of which `bad` rows were left out."""
    typed = columns.typed(roles)
    dropped = _some({_BAD_FIELDS: bad, _BAD_VALUE: typed.dropped})
    return RawTable(typed.frame, columns.what, columns.options, columns.types, True, dropped)


def _some(dropped: dict[str, int]) -> dict[str, int]:
    return {reason: rows for reason, rows in dropped.items() if rows}
