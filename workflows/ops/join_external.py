"""`JoinExternal` by a lookup of keys, in a table that is read once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from merlin.core.dispatch import ExtData
from merlin.io import Dataset
from merlin.io.dataframe_engine import DataFrameDatasetEngine
from merlin.io.worker import get_worker_cache
from nvtabular import ops

from towermill.workflows.dataset import ArrowDataset, to_frame
from towermill.workflows.ops.categories.lookup import Lookup
from towermill.workflows.ops.frames import flatten, is_arrow, on_cpu, to_polars

_CACHE = "towermill-external-tables"
_ROW = "__row"


class JoinExternal(ops.JoinExternal):  # type: ignore[misc]
    """NVTabular's `JoinExternal`, with the same arguments and columns.

    Rows stay in the order they were in, and so do the external rows that one of them meets; nulls
    meet nulls. If the keys are Arrow's, external columns are as in `towermill.workflows.dataset`.

    A process reads the external table once. It is not sent with the operator or saved with a
    workflow, unless a frame in memory was the argument. If columns that are not keys have one name,
    the join is left to NVTabular, which renames them.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_ext_cache": None}

    def column_mapping(self, col_selector: Any) -> dict[str, list[str]]:
        """Return each output's column, without reading the table."""
        names = self.columns_ext or list(self.df_ext.to_ddf().columns)
        return {name: [name] for name in dict.fromkeys([*col_selector.names, *names])}

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame with the columns of the external table.

        Raises
        ------
        TypeError
            The keys are of types that cannot be equal.
        """
        if not on_cpu(df):
            return super().transform(col_selector, df)
        keys, keys_ext = _names(self.on), _names(self.on_ext)
        external = self._external(keys_ext, arrow=is_arrow(df[keys[0]]))
        shared = {key for key, key_ext in zip(keys, keys_ext, strict=True) if key == key_ext}
        new = [name for name in external.frame.columns if name not in shared]
        if set(new) & set(df.columns):
            return super().transform(col_selector, df)
        rows, rows_ext = external.pairs([to_polars(df[key]) for key in keys], self.how == "left")
        columns = {
            name: pd.api.extensions.take(_array(external.frame[name]), rows_ext, allow_fill=True)
            for name in new
        }
        joined = df if rows is None else df.take(rows)
        joined = joined.set_axis(pd.RangeIndex(len(rows_ext)), copy=False)
        return pd.concat([joined, pd.DataFrame(columns, joined.index)], axis=1, copy=False)

    def _external(self, keys: Sequence[str], arrow: bool) -> External:
        if self.cache == "disk" and self.kind_ext in (ExtData.PARQUET, ExtData.CSV):
            return self._read(keys, arrow)
        key = (
            _identity(self.df_ext),
            tuple(self.columns_ext or ()),
            bool(self.drop_duplicates_ext),
            tuple(keys),
            arrow,
        )
        with get_worker_cache(_CACHE) as cache:
            if key not in cache:
                cache[key] = self._read(keys, arrow)
            found: External = cache[key]
            return found

    def _read(self, keys: Sequence[str], arrow: bool) -> External:
        self.df_ext.to_cpu()
        # Here, as this may be a task of Dask's itself.
        frame = self.df_ext.to_ddf(columns=self.columns_ext).compute(scheduler="synchronous")
        if self.columns_ext:
            frame = frame[self.columns_ext]
        if self.drop_duplicates_ext:
            frame = frame.drop_duplicates()
        if arrow:
            frame = to_frame(pa.Table.from_pandas(frame, preserve_index=False))
        return External(frame, keys)


class External:
    """A table, and where in it the rows of a key are.

    Parameters
    ----------
    frame
        The table.
    keys
        Its columns to look up.

    Attributes
    ----------
    frame
        The table.
    unique
        Whether no key has two rows.
    """

    def __init__(self, frame: pd.DataFrame, keys: Sequence[str]) -> None:
        self.frame = frame
        table = pl.DataFrame([_whole(to_polars(frame[key])) for key in keys])
        groups = (
            table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW))
            .group_by(list(keys), maintain_order=True)
            .agg(pl.col(_ROW))
        )
        # The group of nulls, which the lookup has no place for, comes after those of values.
        null = groups.select(pl.all_horizontal(pl.col(keys).is_null())).to_series()
        groups = pl.concat([groups.filter(~null), groups.filter(null)])
        rows, sizes = flatten(groups[_ROW])
        # And at the very end one without a row: -1 is what has no match.
        self._null = groups.height - 1 if null.any() else -1
        self._rows = np.append(rows.to_numpy(), -1)
        self._sizes = np.append(sizes.to_numpy().astype(np.int64), 0)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self.unique = groups.height == table.height
        values = groups.select(keys).head(groups.height - int(null.sum()))
        self._types = values.schema
        self._lookup = Lookup(values, first=0, null=self._null, unknown=-1)

    def pairs(
        self, keys: Sequence[pl.Series], left: bool
    ) -> tuple[np.ndarray[Any, Any] | None, np.ndarray[Any, Any]]:
        """Return the places of rows of a frame and of the table that have the same keys.

        Parameters
        ----------
        keys
            Keys of the frame's rows.
        left
            Whether a row without a match has a pair, too, in which the table's place is -1.

        Returns
        -------
        places
            Rows of the frame; None for each once, in order.
        places
            Rows of the table.

        Raises
        ------
        TypeError
            The keys are of types that cannot be equal.
        """
        for key, (name, kind) in zip(keys, self._types.items(), strict=True):
            if not _comparable(key.dtype, kind):
                raise TypeError(
                    f"Expected values of one type in {key.name!r} and in the external table's "
                    f"{name!r}, to join on them; found {key.dtype} and {kind}. Cast one of them."
                )
        groups = self._lookup.ids(keys).fill_null(self._null).to_numpy()
        if self.unique:
            places = self._rows[self._starts[groups]]
            if left or (places >= 0).all():
                return None, places
            rows = np.flatnonzero(places >= 0)
            return rows, places[rows]
        sizes = self._sizes[groups]
        if left:
            sizes = np.maximum(sizes, 1)
        rows = np.repeat(np.arange(len(groups)), sizes)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return rows, self._rows[self._starts[groups][rows] + within]


def _names(keys: str | Sequence[str]) -> list[str]:
    return [keys] if isinstance(keys, str) else list(keys)


def _array(column: pd.Series[Any]) -> Any:
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _whole(column: pl.Series) -> pl.Series:
    """Return whole numbers that NumPy had to hold as floats, for a null among them, as such."""
    if not column.dtype.is_float():
        return column
    whole = column.cast(pl.Int64, strict=False)
    same = whole.null_count() == column.null_count() and (whole == column).all()
    return whole if same else column


def _comparable(one: pl.DataType, other: pl.DataType) -> bool:
    return (
        (one.is_numeric() and other.is_numeric())
        or one.base_type() == other.base_type()
        or pl.Null in (one, other)
    )


def _identity(dataset: Dataset) -> Hashable:
    """Return an identity of the table that changes when its files are written again."""
    if isinstance(dataset, ArrowDataset):
        paths = dict.fromkeys(part.path for part in dataset.parts)
        return tuple((path, Path(path).stat().st_mtime_ns) for path in paths)
    engine = dataset.engine
    if isinstance(engine, DataFrameDatasetEngine):
        return str(engine.to_ddf()._name)
    return tuple((path, engine.fs.ukey(path)) for path in engine.stripped_paths)
