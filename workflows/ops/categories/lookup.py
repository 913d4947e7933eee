"""From values to ids: by a table where the values lie close together, else by a hash join."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import polars as pl

#: Whole numbers are looked up in a table of all between the least and the greatest if that has at
#: most so many entries a value, or so many at all (4 bytes each).
_SPREAD, _SMALL = 16, 1 << 23
_ID = "__id"


class Lookup:
    """The ids of one vocabulary.

    Parameters
    ----------
    vocabulary
        Distinct rows in the order of their ids; several columns for a combination.
    first
        Id of the first row.
    null, unknown
        Ids of a null (in a combination: of nothing but nulls), and of what is not in the
        vocabulary.
    """

    def __init__(self, vocabulary: pl.DataFrame, first: int, null: int, unknown: int) -> None:
        self.null, self.unknown = null, unknown
        self._types, self._empty = vocabulary.schema, vocabulary.is_empty()
        self._table = _dense(vocabulary, first, unknown)
        if self._table is None:
            ids = pl.int_range(first, first + vocabulary.height, dtype=pl.Int32, eager=True)
            self._pairs = vocabulary.with_columns(ids.alias(_ID))

    def ids(self, columns: Sequence[pl.Series]) -> pl.Series:
        """Return int32 ids, a null where all of `columns` are.

        Raises
        ------
        TypeError
            A column is of a type that the vocabulary's values cannot have.
        """
        if self._empty:  # of no type, then
            found = _constant(None, columns[0])
        elif self._table is not None:
            found = _from_table(_as(columns[0], *next(iter(self._types.items()))), *self._table)
        else:
            types = self._types.items()
            keys = [_as(column, *named) for column, named in zip(columns, types, strict=True)]
            found = pl.DataFrame(keys).join(
                self._pairs,
                on=list(self._types),
                how="left",
                maintain_order="left",
                nulls_equal=True,
            )[_ID]
        if found.null_count():
            given = reduce(or_, (column.is_not_null() for column in columns))
            found = found.zip_with(found.is_not_null() | ~given, _constant(self.unknown, found))
        return found


def _constant(value: int | None, like: pl.Series) -> pl.Series:
    return pl.repeat(value, len(like), dtype=pl.Int32, eager=True)


def _as(column: pl.Series, name: str, wanted: pl.DataType) -> pl.Series:
    """Return the column in the vocabulary's type; what that cannot hold becomes null."""
    have = column.dtype
    column = column.alias(name)
    if have == wanted:
        return column
    if have == pl.Null or wanted == pl.Null:
        return pl.repeat(None, len(column), dtype=wanted, eager=True).alias(name)
    if not (
        (have.is_numeric() and wanted.is_numeric()) or (have.is_temporal() and wanted.is_temporal())
    ):
        raise TypeError(
            f"the vocabulary {name!r} was fitted on values of type {wanted}; found {have}. Cast "
            "the column as it was at fitting, or fit again"
        )
    cast = column.cast(wanted, strict=False)
    # Whole numbers against floats are as near as pandas holds them; else a value is what it was.
    if not have.is_integer():
        nothing = pl.repeat(None, len(cast), dtype=wanted, eager=True)
        cast = cast.zip_with((cast.cast(have, strict=False) == column).fill_null(False), nothing)
    return cast


def _dense(
    vocabulary: pl.DataFrame, first: int, unknown: int
) -> tuple[int, np.ndarray[Any, Any]] | None:
    """Return the least value, and the ids of all whole numbers from it on; None if too sparse.

    The last entry is for every number outside.
    """
    if vocabulary.width > 1 or vocabulary.is_empty():
        return None
    values = vocabulary.to_series()
    if not values.dtype.is_integer() or values.dtype == pl.UInt64:
        return None
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    span = high - low + 1
    if span > max(_SPREAD * len(values), _SMALL):
        return None
    table = np.full(span + 1, unknown, np.int32)
    ids = np.arange(first, first + len(values), dtype=np.int32)
    table[values.cast(pl.Int64).to_numpy() - low] = ids
    return low, table


def _from_table(column: pl.Series, low: int, table: np.ndarray[Any, Any]) -> pl.Series:
    whole = column if column.dtype == pl.Int64 else column.cast(pl.Int64)
    values = (whole.fill_null(low) if column.null_count() else whole).to_numpy()
    # As unsigned numbers, those below the least are beyond the greatest.
    places = values.view(np.uint64) - np.uint64(low % 2**64)
    np.minimum(places, np.uint64(len(table) - 1), out=places)
    ids = pl.Series(column.name, table.take(places.view(np.int64)))
    if column.null_count():
        ids = ids.zip_with(column.is_not_null(), _constant(None, ids))
    return ids
