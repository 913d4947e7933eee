"""Parquet files of one table, whose types may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from towermill.errors import DataError
from towermill.workflows.sources.reading.casting import missing
from towermill.workflows.sources.reading.options import Declared

#: Rows read at a time.
_ROWS = 1 << 16


def scan_parquet_files(
    files: Sequence[Path],
    columns: Sequence[str] | None = None,
    types: Mapping[str, Declared] | None = None,
) -> pl.LazyFrame:
    """Return columns of Parquet files in one type each, in the order of the files.

    A type that differs between files is widened: to the larger integer, from integers to floats,
    from categories to text, from all nulls to anything, times to microseconds in UTC.

    Parameters
    ----------
    columns
        Those to read; None for all that every file has. Others may differ as they like.
    types
        Columns that are text in one file and numbers in another have no common type, unless the
        recipe declares one here.

    Raises
    ------
    DataError
        A file is no Parquet, or lacks a column; a column has no common type.
    """
    schemas = {file: parquet_schema(file) for file in files}
    first, *others = schemas.values()
    if columns is None:
        columns = [name for name in first if all(name in schema for schema in others)]
    for file, schema in schemas.items():
        for name in columns:
            if name not in schema:
                raise DataError(missing(name, schema.names(), str(file)))
    common = {name: _common(name, schemas, types or {}) for name in columns}
    parts = []
    for kinds, group in groupby(files, lambda file: [schemas[file][name] for name in columns]):
        part = pl.scan_parquet(
            list(group), glob=False, hive_partitioning=False, extra_columns="ignore"
        )
        casts = zip(columns, kinds, strict=True)
        parts.append(part.select(_cast(name, kind, common[name]) for name, kind in casts))
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def parquet_schema(file: Path) -> pl.Schema:
    """Return the columns of a file and their types; raise `DataError` if it is no Parquet."""
    try:
        return pl.scan_parquet(file, glob=False, hive_partitioning=False).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"Cannot read {file} as parquet: {error}. Copy it again.") from error


def check_pages(files: Sequence[Path], columns: Sequence[str]) -> None:
    """Read columns once with the checksums of their pages, where the writer stored some.

    Polars does not verify them. Spark writes them by default.

    Raises
    ------
    DataError
        A page is damaged.
    """
    for file in files:
        try:
            reader = pq.ParquetFile(file, page_checksum_verification=True)
            for _ in reader.iter_batches(_ROWS, columns=list(columns)):
                pass
        except (OSError, pa.ArrowException) as error:
            if "checksum" in str(error):  # all else is Polars' to report
                raise DataError(
                    f"{file} is damaged: the checksum of a page is wrong ({error}). Copy it again."
                ) from error


def _common(
    name: str, schemas: Mapping[Path, pl.Schema], types: Mapping[str, Declared]
) -> pl.DataType:
    """Return the one type that holds what all files have under a name."""
    kinds = {file: schema[name] for file, schema in schemas.items()}
    distinct = list(dict.fromkeys(kinds.values()))
    if len(distinct) == 1:
        return distinct[0]
    plain = list(dict.fromkeys(_plain(kind) for kind in distinct))
    if any(_holds_text(kind) for kind in plain) and name in types:
        # The values are read as text; what is declared decides what becomes of them.
        return pl.String()
    empty = [pl.DataFrame(schema={name: kind}) for kind in plain]
    try:
        wider = pl.concat(empty, how="vertical_relaxed").schema[name]
    except pl.exceptions.PolarsError:
        wider = None
    if wider == pl.Int128:  # of signed and unsigned integers; those past 2**63 fail as read
        wider = pl.Int64()
    # To Polars anything can be text, and times integers.
    families = {_family(kind) for kind in plain if kind not in (pl.Null, pl.List(pl.Null))}
    if wider is None or len(families) > 1:
        examples = [next(file for file in kinds if kinds[file] == kind) for kind in distinct]
        found = ", ".join(f"{kinds[file]} in {file.name}" for file in examples[:3])
        raise DataError(
            f"The column {name!r} should have one type in all files, or types of which one holds "
            f"the others. Found: {found}. Write the files with one type, or set `source.types: "
            f"{{{name}: text}}` (or integer)."
        )
    return wider


def _plain(kind: pl.DataType) -> pl.DataType:
    """Return a type without what files written alike may differ in: categories, units, sizes."""
    if kind in (pl.Categorical, pl.Enum):
        return pl.String()
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        return pl.Datetime("us")
    if isinstance(kind, pl.List | pl.Array):
        inner = kind.inner
        return pl.List(_plain(inner if isinstance(inner, pl.DataType) else inner()))
    return kind


def _family(kind: pl.DataType) -> str:
    """Return what a type holds, so far as types of one family have a common one."""
    if isinstance(kind, pl.List):
        inner = kind.inner if isinstance(kind.inner, pl.DataType) else kind.inner()
        return f"lists of {_family(inner)}"
    if kind.is_temporal():
        return "times"
    return "numbers" if kind.is_numeric() or kind == pl.Boolean else str(kind)


def _holds_text(kind: pl.DataType) -> bool:
    return kind == pl.String or (isinstance(kind, pl.List) and kind.inner == pl.String)


def _cast(name: str, kind: pl.DataType, target: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == target:
        return column
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(kind, pl.Array):
        column = column.arr.to_list()
    if kind.is_float() and target == pl.String:
        # What pandas made a float of: 12.0 was 12.
        whole = (column == column.round()).all()
        return (
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    return column.cast(target)
