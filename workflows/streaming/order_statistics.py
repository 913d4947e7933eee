"""Order statistics and random numbers of a frame's rows, in passes that hold none of the rows."""

from __future__ import annotations

import polars as pl

#: Buckets of one pass, and how many values are few enough to be sorted in memory.
_BUCKETS = 1 << 10
_FEW = 1_000_000
_KEY, _SIGN = "__key", 1 << 63


def kth_smallest(frame: pl.LazyFrame, key: pl.Expr, k: int) -> int:
    """Return the `k`-th smallest value of `key`, exactly, in a few streaming passes.

    Each pass counts the values that are still possible by 1,024 ranges of equal width and goes on
    with the one that holds the `k`-th (a histogram, or radix, selection); at most a million values
    are held at a time. Two or three passes do for values that are spread out.

    Parameters
    ----------
    key
        Int64 or UInt64, without nulls.
    k
        From 1, the smallest, to the number of rows.

    Raises
    ------
    ValueError
        `k` is out of that range.
    """
    signed = frame.select(key).collect_schema().dtypes()[0] == pl.Int64
    # In unsigned numbers of the same order no difference can overflow.
    ordered = key.reinterpret(signed=False) ^ _u64(_SIGN) if signed else key
    values = frame.select(ordered.alias(_KEY))
    value = pl.col(_KEY)
    ends = values.select(value.min().alias("low"), value.max().alias("high"), rows=pl.len())
    low, high, rows = ends.collect(engine="streaming").row(0)
    if not 1 <= k <= rows:
        raise ValueError(f"`k` should be from 1 to the number of rows, {rows}. Received: k={k}")
    while low < high and rows > _FEW:
        width = -(-(high - low + 1) // _BUCKETS)
        bucket = ((value - _u64(low)) // _u64(width)).alias("bucket")
        within = values.filter(value.is_between(_u64(low), _u64(high)))
        counts = within.group_by(bucket).len().collect(engine="streaming").sort("bucket")
        counts = counts.with_columns(pl.col("len").cum_sum().alias("end"))
        found, rows, end = counts.filter(pl.col("end") >= k).row(0)
        k -= end - rows
        low += found * width
        high = min(high, low + width - 1)
    if low < high:
        within = values.filter(value.is_between(_u64(low), _u64(high)))
        low = within.collect(engine="streaming")[_KEY].sort()[k - 1]
    return int(low) - _SIGN if signed else int(low)


def mixed(number: pl.Expr, seed: int) -> pl.Expr:
    """Return a random-looking UInt64 for each integer of `number`, no two alike (SplitMix64).

    Unlike a library's generator it gives the same in every version, and for a row of any place.
    The arithmetic wraps at 2**64.
    """
    offset = (seed + 1) * 0xD1342543DE82EF95 % 2**64
    z = (number.cast(pl.UInt64) + _u64(offset)) * _u64(0x9E3779B97F4A7C15)
    z = (z ^ (z // _u64(1 << 30))) * _u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z // _u64(1 << 27))) * _u64(0x94D049BB133111EB)
    return z ^ (z // _u64(1 << 31))


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)
