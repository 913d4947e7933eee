"""Vocabularies, distinct values by falling frequency, in files of stock NVTabular's format.

Ties in frequency are broken by the value, ascending (text by its UTF-8 bytes): what is written
depends on the values and their counts alone, not on partitions, threads or workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from nvtabular.ops.categorify import NULL_OFFSET, OOV_OFFSET, PAD_OFFSET

from towermill.workflows.ops.frames import each, flatten, to_polars

#: How often each value occurred; no column of a frame here can have the same name.
SIZE = "__size"
#: Whole numbers are counted in a table of all between the least and the greatest if that has at
#: most so many entries a row, or so many at all.
_SPREAD, _SMALL = 4, 1 << 20
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


@dataclass(frozen=True)
class Group:
    """Columns that one vocabulary is made of.

    Attributes
    ----------
    name
        What its files are named for.
    columns
        Columns of the data.
    keys
        Columns of the vocabulary: those of the data in a combination, else `name` alone.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]


def count_values(frame: pd.DataFrame, groups: Sequence[Group]) -> dict[str, pl.DataFrame]:
    """Return each group's distinct values, nulls among them, with their number of rows.

    Raises
    ------
    TypeError
        The columns of a joint group are of types that have none in common.
    """
    counts = each(lambda group: _count(_values(frame, group)), groups)
    return {group.name: count for group, count in zip(groups, counts, strict=True)}


def _values(frame: pd.DataFrame, group: Group) -> pl.DataFrame:
    columns = []
    for name in group.columns:
        column = to_polars(frame[name])
        if isinstance(column.dtype, pl.List):
            column = flatten(column)[0]
        columns.append(column)
    if len(group.keys) > 1:
        return pl.DataFrame(columns)
    key = group.keys[0]
    return stacked([column.alias(key).to_frame() for column in columns], group.name)


def _count(values: pl.DataFrame) -> pl.DataFrame:
    column = values.to_series()
    if values.width > 1 or not column.dtype.is_integer() or column.dtype == pl.UInt64:
        return _by_hash(values)
    low: Any = column.min()
    high: Any = column.max()
    if low is None or high - low >= max(_SPREAD * len(column), _SMALL):
        return _by_hash(values)
    nulls = column.null_count()
    numbers = (column.drop_nulls() if nulls else column).cast(pl.Int64).to_numpy()
    counts = np.bincount(numbers - low)
    found = np.flatnonzero(counts)
    counted = pl.DataFrame({column.name: found + low, SIZE: counts[found]}).cast(
        {column.name: column.dtype}
    )
    if nulls:
        null = pl.DataFrame({column.name: [None], SIZE: [nulls]}, schema=counted.schema)
        counted = counted.vstack(null)
    return counted


def _by_hash(values: pl.DataFrame) -> pl.DataFrame:
    return values.group_by(values.columns).agg(pl.len().cast(pl.Int64).alias(SIZE))


def stacked(frames: Sequence[pl.DataFrame], name: str) -> pl.DataFrame:
    """Return the rows of frames whose types have one in common, else raise `TypeError`."""
    for key in frames[0].columns:
        types = {frame[key].dtype for frame in frames} - {pl.Null}
        # Polars would make text of numbers; whole numbers and floats meet, as in pandas.
        signed = any(dtype.is_signed_integer() for dtype in types)
        beyond = pl.UInt64 in types and signed  # what neither of them can hold
        if len(types) > 1 and (beyond or not all(dtype.is_numeric() for dtype in types)):
            raise TypeError(
                f"Expected values of one type in the vocabulary {name!r}; found "
                f"{' and '.join(sorted(map(str, types)))}. Cast its columns to the same type, or "
                "give them vocabularies of their own."
            )
    return pl.concat(frames, how="vertical_relaxed")


def merge_counts(parts: list[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Return the sum of what `count_values` gave for several partitions."""
    if len(parts) == 1:
        return parts[0]
    plans = []
    for name in parts[0]:
        rows = stacked([part[name] for part in parts], name).lazy()
        plans.append(rows.group_by(pl.exclude(SIZE)).agg(pl.col(SIZE).sum()))
    return dict(zip(parts[0], pl.collect_all(plans), strict=True))


def write_vocabulary(
    counts: pl.DataFrame,
    group: Group,
    folder: str,
    *,
    freq_threshold: int = 0,
    max_size: int = 0,
    num_buckets: int = 0,
) -> str:
    """Write ``unique.<name>.parquet`` and ``meta.<name>.parquet``; return the path of the former.

    Parameters
    ----------
    counts
        From `merge_counts`.
    freq_threshold, max_size, num_buckets
        Of Categorify, for this group.

    Raises
    ------
    ValueError
        `max_size` leaves no room for the reserved ids.
    """
    unknown = max(num_buckets, 1)
    if max_size and max_size < unknown + OOV_OFFSET:
        raise ValueError(
            f"`max_size` of {group.name!r} should be at least {unknown + OOV_OFFSET}, which are "
            f"padding, null and the ids of unknown values. Received: {max_size}"
        )
    keys = list(group.keys)
    null = pl.all_horizontal(pl.col(keys).is_null())
    nulls = int(counts.filter(null)[SIZE].sum())
    # By value, then stably by size: far faster than by both at once.
    values = counts.filter(~null).sort(keys, nulls_last=False)
    values = values.sort(SIZE, descending=True, maintain_order=True)
    kept = values.filter(pl.col(SIZE) >= freq_threshold) if freq_threshold else values
    if max_size:
        kept = kept.head(max_size - unknown - OOV_OFFSET)
    unique = f"{folder}/unique.{group.name}.parquet"
    lost = int(values[SIZE].sum()) - int(kept[SIZE].sum())
    write_kept(kept, group.name, unique, unknown_ids=unknown, nulls=nulls, unknown=lost)
    return unique


def write_kept(
    kept: pl.DataFrame, name: str, path: str, *, unknown_ids: int, nulls: int, unknown: int
) -> None:
    """Write the values of a vocabulary, in the order of their ids, and its ``meta`` file.

    Parameters
    ----------
    kept
        Values, and their sizes.
    name, path
        The name in the files' names, and that of the values.
    unknown_ids
        How many ids there are for values that are not kept.
    nulls, unknown
        Rows of nulls, and of values that are not kept.
    """
    first = OOV_OFFSET + unknown_ids
    _to_file(kept.drop(SIZE), kept[SIZE].alias(f"{name}_size"), first, path)
    meta = {
        "kind": ["pad", "null", "oov", "unique"],
        "offset": [PAD_OFFSET, NULL_OFFSET, OOV_OFFSET, first],
        "num_indices": [1, 1, unknown_ids, kept.height],
        "num_observed": [0, nulls, unknown, int(kept[SIZE].sum())],
    }
    pd.DataFrame(meta).to_parquet(meta_path(path))


def meta_path(unique: str) -> str:
    """Return the path of the ``meta`` file of a vocabulary's values."""
    folder, _, name = unique.rpartition("/")
    return f"{folder}/{name.replace('unique.', 'meta.', 1)}"


def _to_file(values: pl.DataFrame, sizes: pl.Series, first: int, path: str) -> None:
    """Write the values as stock NVTabular does, the index holding the first id.

    Whole numbers are marked as pandas' nullable ones, which alone stock can hold against a column
    with nulls.
    """
    frame = values.to_arrow().to_pandas(types_mapper=_NULLABLE.get)
    frame[sizes.name] = sizes.to_numpy()
    frame.index = pd.RangeIndex(first, first + values.height)
    fs, where = fsspec.core.url_to_fs(path)
    if fs.exists(where):
        fs.rm(where, recursive=True)
    # A dictionary of values that are all distinct is only work.
    frame.to_parquet(path, compression=None, use_dictionary=False)


def read_vocabulary(path: str, keys: Sequence[str]) -> tuple[pl.DataFrame, int | None]:
    """Return the values, in the order of their ids, and the first id (None where it is not told).

    Parameters
    ----------
    path
        A file, or the folder of ``part.<n>.parquet`` that stock writes with `split_out`.
    keys
        Columns to read.
    """
    fs, where = fsspec.core.url_to_fs(path)
    files = [where]
    if fs.isdir(where):
        files = sorted(fs.glob(f"{where}/part.*.parquet"), key=_number)
    tables = []
    for file in files:
        with fs.open(file, "rb") as opened:
            tables.append(pq.read_table(opened, use_threads=False))
    index = (tables[0].schema.pandas_metadata or {}).get("index_columns") or [None]
    first = index[0]["start"] if isinstance(index[0], dict) else None
    frames: list[Any] = [pl.from_arrow(table.select(list(keys))) for table in tables]
    return pl.concat(frames), first


def _number(path: str) -> int:
    return int(path.rsplit(".", 2)[1])
