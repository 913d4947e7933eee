"""The columns of the prepared tables: nulls, ranges, and columns that tell a model nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from towermill.pipelines.running.check.findings import Finding, Level, graded

#: A largest number so many times the 99th percentile is looked at.
_FAR = 100
#: Rows from which a category of mostly distinct values is one.
_ENOUGH = 100


def columns(file: Path, table: str) -> Iterator[Finding]:
    """Yield what each column of a Parquet table holds, the table's name before its own.

    Parameters
    ----------
    file
        The table that `prepare` wrote, or none of that name: then nothing is found.
    table
        ``interactions``, ``items``, ``users`` or ``impressions``.
    """
    if not file.is_file():
        return
    frame = pl.scan_parquet(file)
    height = frame.select(pl.len()).collect().item()
    for name, dtype in frame.collect_schema().items():
        if height and not name.endswith("_id"):
            yield _column(frame, name, dtype, height, f"{table}.{name}")


def _column(frame: pl.LazyFrame, name: str, dtype: pl.DataType, height: int, about: str) -> Finding:
    column = pl.col(name)
    told = [column.null_count().alias("nulls")]
    if dtype.is_nested():
        sizes = column.list.len()
        told += [
            sizes.min().alias("low"),
            sizes.median().alias("middle"),
            sizes.max().alias("high"),
        ]
        told += [column.list.explode().n_unique().alias("distinct")]
    elif dtype.is_numeric() or dtype.is_temporal():
        told += [column.min().alias("low"), column.median().alias("middle")]
        told += [column.max().alias("high"), column.n_unique().alias("distinct")]
        if dtype.is_numeric():
            told.append(column.abs().quantile(0.99).alias("usual"))
    else:
        told.append(column.n_unique().alias("distinct"))
    found = frame.select(told).collect(engine="streaming").row(0, named=True)
    share, distinct = found["nulls"] / height, found["distinct"] - (found["nulls"] > 0)
    if distinct <= 1 and share < 1:
        return Finding(
            Level.LOOK, about, "one value only", "it tells a model nothing: leave it out"
        )
    words = [f"{share:.1%} null"] if share else []
    if "low" in found:
        unit = " entries" if dtype.is_nested() else ""
        middle, low, high = (_short(found[key]) for key in ("middle", "low", "high"))
        words.append(f"{low} to {high}, median {middle}{unit}")
    else:
        words.append(f"{distinct:,} values")
    level, advice = graded(share, 0.2, 0.95), "too few values to learn from? Leave it out"
    if level is Level.OK and found.get("usual") and abs(found["high"]) > _FAR * found["usual"]:
        level = Level.LOOK
        words.append(f"99 % are below {_short(found['usual'])}")
        advice = "a mistake in the data, or a case for `log: true`?"
    if level is Level.OK and dtype == pl.String and height >= _ENOUGH and distinct > height / 2:
        words.append("mostly distinct")
        if about.startswith("interactions."):
            level, advice = Level.LOOK, "an id or free text? It does not serve as a category"
    return Finding(level, about, ", ".join(words), advice)


def _range(column: pl.Expr) -> list[pl.Expr]:
    return [column.min().alias("low"), column.median().alias("middle"), column.max().alias("high")]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
