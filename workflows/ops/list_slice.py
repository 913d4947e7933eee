"""`ListSlice` of whole columns at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from nvtabular import ops

from towermill.workflows.ops.frames import (
    flatten,
    is_arrow,
    on_cpu,
    to_pandas,
    to_polars,
    unflatten,
)
from towermill.workflows.ops.gpu import slice_lists

_UNBOUNDED = np.iinfo(np.int64).max


class ListSlice(ops.ListSlice):  # type: ignore[misc]
    """NVTabular's `ListSlice`, with the same arguments: ``[start:end]`` of each list, as in Python.

    A list that is null is an empty one; `pad_value` is made a value of the lists' own type.
    """

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame of the columns, sliced.

        Raises
        ------
        ValueError
            Lists without a greatest length are to be padded to it.
        TypeError
            Lists of text are to be padded with a number.
        """
        if not on_cpu(df):
            if self.pad:
                return super().transform(col_selector, df)
            cut = {n: slice_lists(df[n], self.start, self.end) for n in col_selector.names}
            return type(df)(cut, index=df.index)
        if self.pad and self.max_elements == _UNBOUNDED:
            raise ValueError(
                "`end` should be given to pad lists to one length, or a negative `start` alone. "
                f"Received: start={self.start}, end=None, pad=True"
            )
        columns: dict[str, pd.Series[Any]] = {}
        for name in col_selector.names:
            column = df[name]
            if not (is_arrow(column) or self.pad or column.isna().any()):
                sliced = [row[self.start : self.end] for row in column]
                columns[name] = pd.Series(sliced, df.index, object)
                continue
            lists = to_polars(column)
            if lists.dtype == pl.Null:
                lists = lists.cast(pl.List(pl.Null))
            if not isinstance(lists.dtype, pl.List):
                return super().transform(col_selector, df)
            columns[name] = to_pandas(self._sliced(lists), like=column)
        return pd.DataFrame(columns, index=df.index)

    def _sliced(self, lists: pl.Series) -> pl.Series:
        column = pl.col(lists.name)
        length = column.list.len().cast(pl.Int64)
        start = pl.lit(self.start) if self.start >= 0 else (length + self.start).clip(0)
        end = pl.lit(self.end) if self.end >= 0 else length + self.end
        kept = lists.to_frame().select(column.list.slice(start, (end - start).clip(0))).to_series()
        if not self.pad and not kept.null_count():
            return kept
        values, lengths = flatten(kept)
        if self.pad and self.max_elements > 0:
            values, lengths = pad(values, lengths, self.max_elements, self.pad_value)
        return unflatten(values, lengths).alias(lists.name)


def pad(
    values: pl.Series, lengths: pl.Series, width: int, pad_value: Any
) -> tuple[pl.Series, pl.Series]:
    """Return lists (see `flatten`) of `width` values each, the missing ones at the end.

    Raises
    ------
    TypeError
        `pad_value` is a number, and the lists are of text.
    """
    filler = pl.Series(values.name, [pad_value])
    if values.dtype == pl.String and filler.dtype != pl.String:
        raise TypeError(
            f"`pad_value` should be text, as the values of {values.name!r} are. "
            f"Received: pad_value={pad_value!r}"
        )
    filler = filler if values.dtype == pl.Null else filler.cast(values.dtype)
    places = np.full((len(lengths), width), len(values))
    places[np.arange(width) < lengths.to_numpy()[:, None]] = np.arange(len(values))
    padded = pl.concat([values.cast(filler.dtype), filler]).gather(places.ravel())
    return padded, pl.Series(np.full(len(lengths), width))
