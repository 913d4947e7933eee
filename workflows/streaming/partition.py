"""Work on groups of rows, such as a user's, part by part: more than memory holds, by disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

#: Rows of a part: all of one are held at a time.
PART_ROWS = 2_000_000
PART = "__part"


def parts_by(rows: int, *columns: str) -> pl.Expr:
    """Return the number of each row's part, one for equal values of `columns`, by their hash."""
    parts = -(-rows // PART_ROWS)
    hashed = pl.lit(0, dtype=pl.UInt64)
    for seed, column in enumerate(columns):
        hashed = hashed ^ pl.col(column).hash(seed)
    return (hashed % max(parts, 1)).cast(pl.UInt32)


def partitioned(frame: pl.LazyFrame, part: pl.Expr, scratch: Path) -> Iterator[pl.DataFrame]:
    """Yield the rows of `frame` part by part, in the order of their part numbers.

    `frame` is read once, streaming, and its rows written by part into a folder in `scratch`, which
    goes again with the last of them (as in a Grace hash join; Kitsuregawa et al., 1983).
    """
    columns = [name for name in frame.collect_schema().names() if name != PART]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        target = pl.PartitionBy(folder, key=PART, include_key=False)
        frame.with_columns(part.alias(PART)).sink_parquet(target, mkdir=True)
        numbers = sorted(int(path.name.partition("=")[2]) for path in Path(folder).iterdir())
        for number in numbers:
            files = Path(folder) / f"{PART}={number}" / "*.parquet"
            yield pl.read_parquet(files, columns=columns, hive_partitioning=False)
