"""`Groupby` by Polars: rows into histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from nvtabular import ops
from nvtabular.ops.groupby import _get_agg_dicts

from towermill.workflows.ops.frames import is_arrow, on_cpu, to_pandas, to_polars, without_arrow

#: Aggregations of any column, of all but lists, and of numbers alone.
_ANY, _SCALAR, _NUMBER = (
    {"list", "first", "last", "count"},
    {"nunique", "min", "max"},
    {"sum", "mean", "var", "std", "median"},
)
#: Those whose results are of their column's own type.
_PICKED = {"first", "last", "min", "max"}


class Groupby(ops.Groupby):  # type: ignore[misc]
    """NVTabular's `Groupby`, with the same arguments, names and types; groups are sorted by key.

    Rows that compare equal stay in the order they were in. Lists are Arrow's if their column is,
    else arrays. Other aggregations than ``list``, ``first``, ``last``, ``count``, ``nunique``,
    ``sum``, ``mean``, ``var``, ``std``, ``median``, ``min`` and ``max``, and columns of types that
    pandas alone has (categories, time zones), are left to NVTabular.
    """

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return a row a group; rows with a null in a key are in none."""
        outputs = self._outputs(col_selector) if on_cpu(df) else {}
        columns = self._columns(df, outputs)
        if not columns:
            return super().transform(col_selector, without_arrow(df) if on_cpu(df) else df)
        table = pl.DataFrame(columns).drop_nulls(self.groupby_cols)
        if self.sort_cols:
            one = not isinstance(self.ascending, list)
            ascending = [self.ascending] * len(self.sort_cols) if one else self.ascending
            table = table.sort(
                self.sort_cols,
                descending=[not each for each in ascending],
                nulls_last=True,
                maintain_order=True,
            )
        groups = table.group_by(self.groupby_cols).agg(
            _aggregated(pl.col(source), agg).alias(name) for name, (source, agg) in outputs.items()
        )
        groups = groups.sort(self.groupby_cols)
        keys = {name: (name, "first") for name in self.groupby_cols}
        return pd.DataFrame(
            {
                name: _column(groups[name], df[source], agg)
                for name, (source, agg) in (keys | outputs).items()
            }
        )

    def _outputs(self, col_selector: Any) -> dict[str, tuple[str, str]]:
        """Return name to column and aggregation, in stock's order; none if one is not known."""
        listed, conventional = _get_agg_dicts(
            self.groupby_cols, self.list_aggs, self.conv_aggs, col_selector
        )
        wanted = [
            (source, "list" if agg is list else agg)
            for source, aggs in conventional.items()
            for agg in aggs
            # Stock makes the list of which it takes the first and the last.
            if agg is not list or "list" in listed.get(source, ())
        ]
        if not all(agg in _ANY | _SCALAR | _NUMBER for _, agg in wanted):
            return {}
        outputs = {self.name_sep.join(pair): pair for pair in wanted}
        # The first in ascending order is the first in descending order, too.
        ends = ("first", "last") if self.ascending else ("last", "first")
        for source, aggs in listed.items():
            for agg in aggs:
                if agg != "list":
                    end = ends[("first", "last").index(agg)]
                    outputs[self.name_sep.join((source, agg))] = (source, end)
        return outputs

    def _columns(
        self, df: pd.DataFrame, outputs: dict[str, tuple[str, str]]
    ) -> dict[str, pl.Series]:
        """Return what is aggregated, and by what; none if there is a column to leave to stock."""
        if not outputs:
            return {}
        columns: dict[str, pl.Series] = {}
        for name in {*self.groupby_cols, *self.sort_cols, *(s for s, _ in outputs.values())}:
            column = df[name]
            if not is_arrow(column) and not isinstance(column.dtype, np.dtype):
                return {}
            columns[name] = to_polars(column)
            if column.dtype == object and columns[name].dtype.is_temporal():
                return {}
        for source, agg in outputs.values():
            kind = columns[source].dtype
            numbers = kind.is_numeric() or kind in (pl.Boolean, pl.Null)
            lists = kind.is_nested() and (agg in _SCALAR or not is_arrow(df[source]))
            if lists or (agg in _NUMBER and not numbers):
                return {}
        return columns


def _aggregated(column: pl.Expr, agg: str) -> pl.Expr:
    if agg == "list":
        return column
    if agg in _PICKED:
        # One of the column's values, which for `first` and `last` may be null.
        return getattr(column, agg)()  # type: ignore[no-any-return]
    if agg == "count":
        return column.count().cast(pl.Int32)
    if agg == "nunique":
        return column.drop_nulls().n_unique().cast(pl.Int32)
    numbers = column.cast(pl.Float64)
    result: pl.Expr = getattr(numbers, agg)()
    return result.cast(pl.Float32)


def _column(groups: pl.Series, source: pd.Series[Any], agg: str) -> pd.Series[Any]:
    # There are at most as many groups as rows.
    like = source.iloc[: len(groups)].reset_index(drop=True)
    column = to_pandas(groups, like)
    if agg in _PICKED and not is_arrow(like):
        column = column.astype(like.dtype)
    return column
