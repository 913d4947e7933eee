"""What `Categorify` and `ListSlice` do on a GPU: cuDF frames, counted and looked up in place.

Distinct values and their counts alone come to the host, where the vocabulary is ordered and written
as on a CPU: so ids are equal, ties included. Nothing here imports cuDF before a frame is its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from merlin.core.dispatch import is_list_dtype

from towermill.runtime.gpu import enough_memory
from towermill.workflows.ops.categories.vocabulary import SIZE, Group, stacked

_ROW, _ID = "__row", "__id"


def count_on_gpu(frame: Any, groups: Sequence[Group]) -> dict[str, pl.DataFrame]:
    """Return what `count_values` does, of a cuDF frame.

    Raises
    ------
    DataError
        The GPU has no memory left.
    TypeError
        The columns of a joint group are of types that have none in common.
    """
    counts = {}
    for group in groups:
        with enough_memory(f"the distinct values of {group.name!r} in a part of the data"):
            counts[group.name] = _count(frame, group)
    return counts


def _count(frame: Any, group: Group) -> pl.DataFrame:
    keys = list(group.keys)
    if len(keys) > 1:
        counted = [_sizes(frame[keys])]
    else:
        columns = [values_of(frame[name]) for name in group.columns]
        counted = [_sizes(column.to_frame(name=keys[0])) for column in columns]
    # Once more: a value may occur in several columns, and floats have NaN as well as null.
    return stacked(counted, group.name).group_by(keys).agg(pl.col(SIZE).sum())


def _sizes(values: Any) -> pl.DataFrame:
    keys = list(values.columns)
    groups = values.groupby(keys, dropna=False, sort=False).size().rename(SIZE).reset_index()
    return pl.DataFrame([to_host(groups[name]) for name in (*keys, SIZE)])


class GPULookup:
    """The ids of one vocabulary, as a table on the GPU that values are joined with.

    Parameters
    ----------
    vocabulary, first, null, unknown
        As for `towermill.workflows.ops.categories.lookup.Lookup`.

    Raises
    ------
    DataError
        The GPU has no memory left for it.
    """

    def __init__(self, vocabulary: pl.DataFrame, first: int, null: int, unknown: int) -> None:
        self.null, self.unknown, self.keys = null, unknown, vocabulary.columns
        ids = pl.int_range(first, first + vocabulary.height, dtype=pl.Int32, eager=True)
        with enough_memory(f"the vocabulary of {', '.join(self.keys)} ({vocabulary.height} rows)"):
            self.table = to_gpu(vocabulary.with_columns(ids.alias(_ID)).to_arrow())

    def ids(self, columns: Sequence[Any]) -> Any:
        """Return int32 ids of rows of values, `unknown` for values not in the vocabulary."""
        frame = columns[0].to_frame(name=self.keys[0]).reset_index(drop=True)
        for key, column in zip(self.keys[1:], columns[1:], strict=True):
            frame[key] = column.reset_index(drop=True)
        frame[_ROW] = frame.index
        # A join on the GPU keeps no order.
        found = frame.merge(self.table, on=self.keys, how="left").sort_values(_ROW)[_ID]
        return found.reset_index(drop=True).fillna(self.unknown).astype("int32")


def encode(df: Any, sources: Sequence[str], lookup: GPULookup, name: str) -> tuple[Any, Any]:
    """Return int32 ids of one column, or of a combination, and the lists' lengths if it has lists.

    Raises
    ------
    DataError
        The GPU has no memory left.
    """
    with enough_memory(f"a part of the data while the column {name!r} is encoded"):
        columns = [df[source] for source in sources]
        lengths = lengths_of(columns[0]) if is_list_dtype(columns[0]) else None
        columns = [values_of(column).reset_index(drop=True) for column in columns]
        ids = lookup.ids(columns)
        if lengths is None:  # a null within a list is an unknown value
            missing = columns[0].isna()
            for column in columns[1:]:
                missing = missing & column.isna()
            ids = ids.where(~missing, lookup.null).astype("int32")
        return ids, lengths


def slice_lists(column: Any, start: int, end: int) -> Any:
    """Return ``[start:end]`` of each list, as in Python; a list that is null is an empty one."""
    values, lengths = values_of(column), lengths_of(column)
    xp = sys.modules[type(lengths).__module__.partition(".")[0]]  # NumPy or CuPy
    first = xp.clip(lengths + start if start < 0 else xp.full_like(lengths, start), 0, lengths)
    last = xp.clip(lengths + end if end < 0 else xp.full_like(lengths, end), first, lengths)
    kept = last - first
    stops = xp.cumsum(kept)
    every = xp.arange(int(kept.sum()))
    row = xp.searchsorted(stops, every, side="right")
    places = (xp.cumsum(lengths) - lengths + first)[row] + every - (stops - kept)[row]
    return relisted(values.take(places).reset_index(drop=True), kept, like=column)


# ---------------------------------------------------------------- operations that differ in cuDF


def values_of(column: Any) -> Any:
    """Return a column, or all values of its lists, end to end."""
    return column.list.leaves if is_list_dtype(column) else column


def lengths_of(column: Any) -> Any:
    """Return the lengths of a column's lists, 0 for a null, as a CuPy array of int64."""
    return column.list.len().fillna(0).astype("int64").to_cupy()


def relisted(values: Any, lengths: Any, like: Any) -> Any:
    """Return lists of the given lengths, with the index of `like`: what undoes `values_of`."""
    import cudf
    import cupy
    import pylibcudf as plc

    stops = cupy.concatenate([cupy.zeros(1, "int32"), cupy.cumsum(lengths).astype("int32")])
    children = [cudf.Series(stops).to_pylibcudf()[0], values.to_pylibcudf()[0]]
    kind = plc.DataType(plc.TypeId.LIST)
    column = plc.Column(kind, len(lengths), None, None, 0, 0, children)
    lists = cudf.Series.from_pylibcudf(column)
    lists.index = like.index
    return lists


def to_gpu(table: pa.Table) -> Any:
    """Return a table as a cuDF frame."""
    import cudf

    return cudf.DataFrame.from_arrow(table)


def to_host(column: Any) -> pl.Series:
    """Return a column, NaN as null."""
    frame: Any = pl.from_arrow(to_arrow(column.to_frame()))
    series: pl.Series = frame.to_series()
    return series.fill_nan(None) if series.dtype.is_float() else series


def to_arrow(frame: Any) -> pa.Table:
    """Return a frame's columns on the host."""
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow(preserve_index=False)
    return pa.Table.from_pandas(frame, preserve_index=False)
