"""Ids of raw columns as one of two types: integers or text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from towermill.errors import DataError, did_you_mean


def require(names: Sequence[str], columns: Sequence[str], what: str) -> None:
    """Raise a DataError unless `names` has all `columns`; `what` names the table."""
    for column in columns:
        if column not in names:
            raise DataError(missing(column, names, f"`{what}`") + _separator(column, names))


def missing(column: str, names: Sequence[str], what: str) -> str:
    """Return the message that `what` lacks a column."""
    return (
        f"{what} should have a column {column!r}.{did_you_mean(column, names)} Found: "
        f"{', '.join(names)}."
    )


def _separator(column: str, names: Sequence[str]) -> str:
    """Return what to set if the only name looks like a header with another separator."""
    if len(names) != 1:
        return ""
    found = next((sign for sign in ";\t|," if column in names[0].split(sign)), None)
    if found is None:
        return ""
    return f" The file looks separated by {found!r}: set `source.separator: {found!r}`."


def id_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as Int64 (from integers, or floats that are whole) or String.

    NaN becomes null. A float or unsigned 64-bit column is read once, to see that it can be cast.

    Raises
    ------
    DataError
        The column is of another type, or holds floats that are not whole or integers past 2**63-1.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column)
    if kind == pl.UInt64:
        top = frame.select(col.max()).collect(engine="streaming").item()
        if top is not None and top >= 2**63:
            raise DataError(
                f"`{what}`: {column!r} should hold ids below 2**63. Received: {top}. Write such "
                "ids as strings."
            )
    if kind.is_integer():
        return col.cast(pl.Int64)
    if kind.is_float():
        # Past these, a float no longer tells an integer from the next one.
        exact = 24 if kind == pl.Float32 else 53
        whole = (col == col.round()) & (col.abs() <= 2**exact)
        bad = frame.filter(col.is_not_nan() & ~whole).select(col.first())
        example = bad.collect(engine="streaming")
        if example.height and example.item() is not None:
            raise DataError(
                f"`{what}`: {column!r} should hold whole ids (below 2**{exact} where they are "
                f"{kind}). Received: {example.item()}. Write ids as integers or strings."
            )
        return col.fill_nan(None).cast(pl.Int64)
    if kind == pl.String or kind in (pl.Categorical, pl.Enum):
        return col.cast(pl.String)
    raise DataError(
        f"`{what}`: {column!r} should hold ids: integers, strings, or floats that are whole. "
        f"Its type is {kind}."
    )


def id_list_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column`, lists or arrays of ids, as List(Int64) or List(String).

    Nulls stay where they are.

    Raises
    ------
    DataError
        The column is of another type.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column).arr.to_list() if isinstance(kind, pl.Array) else pl.col(column)
    if isinstance(kind, pl.List | pl.Array):
        inner = kind.inner
        # Of a file in which all lists are empty, nothing is known but that they are lists.
        if inner.is_integer() or inner == pl.Null:
            return col.cast(pl.List(pl.Int64))
        if inner == pl.String or inner in (pl.Categorical, pl.Enum):
            return col.cast(pl.List(pl.String))
    raise DataError(
        f"`{what}`: {column!r} should hold lists of ids: integers or strings. Its type is {kind}."
    )
