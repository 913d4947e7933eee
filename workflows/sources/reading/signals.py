"""Signals of interactions: numbers, or text such as the name of an event."""

from __future__ import annotations

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.reading.options import Declared


def number_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as numbers; Booleans become 0 and 1.

    Raises
    ------
    DataError
        The column is of another type.
    """
    kind = frame.collect_schema()[column]
    if kind == pl.Boolean:
        return pl.col(column).cast(pl.Int8)
    if kind.is_numeric():
        return pl.col(column)
    raise DataError(
        f"`{what}`: {column!r} should hold numbers or Booleans, as it is a signal. Its type is "
        f"{kind}. If it holds text, list the values to keep in `features.positive`, or set "
        f"`source.types: {{{column}: text}}`."
    )


def signal_expr(frame: pl.LazyFrame, column: str, what: str, declared: Declared | None) -> pl.Expr:
    """Return a signal as text if it is declared to be, otherwise as numbers.

    Raises
    ------
    DataError
        See `number_expr`.
    """
    if declared == "text":
        return pl.col(column).cast(pl.String)
    return number_expr(frame, column, what)
