"""`Normalize` in one pass, by moments that do not cancel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
from nvtabular import ops

from towermill.workflows.ops.frames import flatten, on_cpu, to_pandas, to_polars, unflatten
from towermill.workflows.ops.gpu import values_of
from towermill.workflows.ops.reduction import reduce_partitions

#: Numbers measured at a time, as many as a processor's cache holds.
_BLOCK = 1 << 15


class Moments(NamedTuple):
    """Count, mean and sum of squared deviations of some numbers."""

    size: int
    mean: float
    squares: float

    def merged(self, other: Moments) -> Moments:
        """Return those of both together, by the formula of Chan, Golub and LeVeque (1979)."""
        if not self.size or not other.size:
            return self if self.size else other
        size = self.size + other.size
        delta = other.mean - self.mean
        share = other.size / size
        squares = self.squares + other.squares + delta * delta * self.size * share
        return Moments(size, self.mean + delta * share, squares)


class Normalize(ops.Normalize):  # type: ignore[misc]
    """NVTabular's `Normalize`, with the same arguments and, but for rounding, the same results.

    Nulls and NaN are left out of the mean and the standard deviation (that of a sample), and come
    out as NaN. So does every value of a column that had nothing else when it was fitted. Where the
    standard deviation is 0, or that of a single value, the mean is subtracted and no more.
    Stock's variance is a difference of squares, which cancel where the mean is far from 0. On cuDF
    frames it is fitted likewise, on the GPU, and applied by NVTabular.

    The values of a list count one by one; a list that is null is an empty one.
    """

    def fit(self, col_selector: Any, ddf: Any) -> Any:
        """Return the lazy means and standard deviations of all columns."""
        of_part = measure if on_cpu(ddf._meta) else measure_on_gpu
        chunk = partial(of_part, names=tuple(col_selector.names))
        return reduce_partitions(ddf, chunk, merge, summarize)

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame of the columns, normalized, as floats; NaN where there is none."""
        if not on_cpu(df):
            return super().transform(col_selector, df)
        columns = {name: self._normalized(df[name], name) for name in col_selector.names}
        return pd.DataFrame(columns, index=df.index)

    def _normalized(self, column: pd.Series[Any], name: str) -> pd.Series[Any]:
        values, lengths = numbers(column)
        values = values - self.means[name]
        if self.stds[name] > 0:
            values /= self.stds[name]
        result = pd.Series(values, name=name).astype(self.output_dtype)
        if lengths is not None:
            return to_pandas(unflatten(pl.Series(name, result.to_numpy()), lengths), like=column)
        return result.set_axis(column.index)


def numbers(column: pd.Series[Any]) -> tuple[np.ndarray[Any, Any], pl.Series | None]:
    """Return the numbers of a column, NaN for null, and if they are in lists the lists' lengths.

    Floats and NumPy's own numbers are of the type they were, others float64.

    Raises
    ------
    TypeError
        The column holds something else.
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        return column.to_numpy(), None
    series, lengths = to_polars(column), None
    if isinstance(series.dtype, pl.List):
        series, lengths = flatten(series)
    kind = series.dtype
    if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
        raise TypeError(
            f"Expected numbers in column {column.name!r}, to normalize them; found {kind}. Cast "
            "the column to a number, or leave it out."
        )
    return (series if kind.is_float() else series.cast(pl.Float64)).to_numpy(), lengths


def measure(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Moments]:
    """Return the moments of each column."""
    return {name: _moments(numbers(frame[name])[0]) for name in names}


def measure_on_gpu(frame: Any, names: Sequence[str]) -> dict[str, Moments]:
    """Return the moments of each column of a cuDF frame."""
    found = {}
    for name in names:
        values = values_of(frame[name])
        off = values[values.notna()].astype("float64")
        # Off one of them, as below.
        pivot = float(off.iloc[0]) if len(off) and np.isfinite(off.iloc[0]) else 0.0
        off -= pivot
        mean = float(off.mean()) if len(off) else np.nan
        found[name] = Moments(len(off), pivot + mean, float(((off - mean) ** 2).sum()))
    return found


def _moments(values: np.ndarray[Any, Any]) -> Moments:
    blocks = range(0, len(values), _BLOCK)
    parts = (_moments_of_block(values[start : start + _BLOCK]) for start in blocks)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinities, as in pandas
        return reduce(Moments.merged, parts, Moments(0, np.nan, 0.0))


def _moments_of_block(values: np.ndarray[Any, Any]) -> Moments:
    off = values.astype(np.float64)
    missing = np.isnan(off)
    size = len(off) - int(missing.sum())
    if not size:
        return Moments(0, np.nan, 0.0)
    # Off a value of their own, so that the mean of equal numbers is exact and nothing is off it.
    some = off[missing.argmin()]
    pivot = float(some) if np.isfinite(some) else 0.0
    off -= pivot
    np.copyto(off, 0.0, where=missing)
    mean = float(off.sum()) / size
    off -= mean
    np.copyto(off, 0.0, where=missing)
    return Moments(size, pivot + mean, float(np.square(off, out=off).sum()))


def merge(parts: Sequence[dict[str, Moments]]) -> dict[str, Moments]:
    """Return the moments of several partitions together."""
    return {name: reduce(Moments.merged, [part[name] for part in parts]) for name in parts[0]}


def summarize(moments: dict[str, Moments]) -> pd.DataFrame:
    """Return a row a column, as NVTabular's `fit_finalize` takes it: count, mean, var and std."""
    columns = ["count", "mean", "squares"]
    table = pd.DataFrame(list(moments.values()), list(moments), columns, dtype="float64")
    # The variance of one value, or none, is not known.
    table["var"] = table["squares"] / (table["count"] - 1).where(table["count"] > 1)
    return table.assign(std=np.sqrt(table["var"]))
