"""Aggregate by user or item, in one pass over any number of rows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

#: Rows read at a time, and the least groups of a key that are held before they are merged.
_BATCH = 500_000
_PENDING = 1_000_000
#: A column of ones, by `counted`.
COUNT = "__count"


def counted(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add the column `COUNT` of ones, of which the sum is a number of rows."""
    return frame.with_columns(pl.lit(1, dtype=pl.UInt32).alias(COUNT))


def tallies(frame: pl.LazyFrame, keys: Sequence[str], *columns: pl.Expr) -> list[pl.DataFrame]:
    """Return, for each key, its distinct values and `columns` over the rows of each.

    A streaming ``group_by`` of Polars (2.1) keeps two bytes a row and more where groups are many,
    and two of one scan keep whole rows for one another. Here batches of rows are grouped one by
    one and what comes out is merged: memory grows with the distinct values alone.

    Parameters
    ----------
    columns
        Aggregations under their column's own name that give the same of parts as of the whole:
        sums, greatest and least values.
    """
    pending: dict[str, list[pl.DataFrame]] = {key: [] for key in keys}
    limits = dict.fromkeys(keys, _PENDING)
    batches = frame.collect_batches(chunk_size=_BATCH, maintain_order=False, engine="streaming")
    for batch in batches:
        for key, parts in pending.items():
            parts.append(batch.group_by(key).agg(columns))
            if sum(part.height for part in parts) > limits[key]:
                parts[:] = [pl.concat(parts).group_by(key).agg(columns)]
                limits[key] = max(_PENDING, 2 * parts[0].height)
    none = frame.limit(0).collect()
    return [
        pl.concat([none.group_by(key).agg(columns), *parts]).group_by(key).agg(columns)
        for key, parts in pending.items()
    ]
