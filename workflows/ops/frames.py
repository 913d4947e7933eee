"""Between a pandas frame's columns and Polars, without a copy where the column is Arrow's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa


def on_cpu(frame: Any) -> bool:
    """Return whether the operators here take the frame; others are NVTabular's own."""
    return isinstance(frame, pd.DataFrame)


def is_arrow(column: pd.Series[Any]) -> bool:
    """Return whether pandas holds the column as an Arrow array."""
    return isinstance(column.dtype, pd.ArrowDtype)


def to_polars(column: pd.Series[Any]) -> pl.Series:
    """Return the column: NaN as null, a fixed-size list as a list, a pandas category as its value.

    Raises
    ------
    TypeError
        The column mixes types.
    """
    try:
        if is_arrow(column):
            arrow = column.array.__arrow_array__()
        else:
            arrow = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(
            f"Expected values of one type in column {column.name!r}; found several ({error}). "
            "Cast the column to text or to a number."
        ) from error
    series = pl.Series(str(column.name), arrow)
    if series.dtype.is_float():
        return series.fill_nan(None)
    if isinstance(series.dtype, pl.Array):
        return series.arr.to_list()
    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    return series


def without_arrow(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with NumPy's columns for Arrow's, as stock NVTabular has them.

    Whole numbers with nulls become floats; text and lists become Python objects.
    """
    plain = frame.copy(deep=False)
    for name in frame.columns:
        if is_arrow(frame[name]):
            plain[name] = frame[name].array.__arrow_array__().to_pandas().to_numpy()
    return plain


def to_pandas(series: pl.Series, like: pd.Series[Any]) -> pd.Series[Any]:
    """Return the series as a column with the index of `like`: Arrow's if that one is, else NumPy's.

    A list is an object column of arrays where it is not Arrow's, as NVTabular has it.
    """
    if is_arrow(like):
        array: Any = pd.arrays.ArrowExtensionArray(pa.chunked_array([series.to_arrow()]))
    elif isinstance(series.dtype, pl.List):
        array = list_objects(*flatten(series))
    else:
        array = series.to_numpy()
    return pd.Series(array, index=like.index, name=series.name)


def list_objects(values: pl.Series, lengths: pl.Series) -> np.ndarray[Any, Any]:
    """Return an object array of NumPy arrays, one a list."""
    flat = values.to_numpy()
    stops = np.cumsum(lengths.to_numpy())
    objects = np.empty(len(stops), object)
    start = 0
    for row, stop in enumerate(stops.tolist()):
        objects[row] = flat[start:stop]
        start = stop
    return objects


def flatten(lists: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the values of all lists, end to end, and each list's length (a null has none)."""
    lengths = lists.list.len().fill_null(0)
    if lists.null_count():
        lists = lists.drop_nulls()
    return lists.explode(empty_as_null=False), lengths


def unflatten(values: pl.Series, lengths: pl.Series) -> pl.Series:
    """Return lists of the given lengths: what undoes `flatten`, but that a null becomes empty."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths.to_numpy(), out=offsets[1:])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), values.to_arrow())
    return pl.Series(values.name, lists)


T = TypeVar("T")


R = TypeVar("R")


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the function of each item, in order, by as many threads as Polars has.

    ``POLARS_MAX_THREADS`` says how many; the workers of ``--cluster local`` share the cores by it.
    """
    items = list(items)
    if pl.thread_pool_size() == 1 or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(pl.thread_pool_size(), len(items))) as pool:
        return list(pool.map(function, items))
