"""Write the items that each user has seen, in encoded ids."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from towermill.columns import ITEM_ID, RAW_PREFIX, USER_ID
from towermill.processed import ProcessedFolder
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.streaming.partition import PART, PART_ROWS, partitioned

#: Users of a row group: each has a list.
_ROW_GROUP = 25_000


def write_seen(
    log: pl.LazyFrame, out: Path, scratch: Path, earlier: pl.LazyFrame | None = None
) -> None:
    """Write ``seen.parquet`` into `out`: ``user_id`` and the sorted distinct ``item_id`` of each.

    Users are in the order of their encoded ids. Memory grows with the users and items, and holds
    one part of the rows at a time; the parts are kept in `scratch` meanwhile.

    Parameters
    ----------
    log
        All interactions, under raw ids.
    out
        Holds ``users.parquet`` and ``items.parquet``, which say how ids are encoded. Rows of other
        ids are left out.
    earlier
        Pairs of encoded ids that were seen before.
    """
    pairs = log.select(USER_ID, ITEM_ID)
    processed = ProcessedFolder(out)
    for key, table in ((USER_ID, processed.users), (ITEM_ID, processed.items)):
        ids = pl.scan_parquet(table).select(key, RAW_PREFIX + key)
        pairs = pairs.join(ids, left_on=key, right_on=RAW_PREFIX + key).drop(key)
        pairs = pairs.rename({f"{key}_right": key})
    if earlier is not None:
        pairs = pl.concat([pairs, earlier])
    # Parts are ranges of users, that one after the other they are in order.
    (rows,) = tallies(counted(pairs.select(USER_ID)), [USER_ID], pl.col(COUNT).sum())
    start = pl.col(COUNT).cast(pl.UInt64).cum_sum() - pl.col(COUNT)
    parts = rows.sort(USER_ID).select(USER_ID, (start // PART_ROWS).cast(pl.UInt32).alias(PART))
    numbered = pairs.join(parts.lazy(), on=USER_ID)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files: list[Path] = []
        for part in partitioned(numbered, pl.col(PART), scratch):
            files.append(Path(folder) / f"{len(files)}.parquet")
            _lists(part).write_parquet(files[-1])
        if not files:
            files.append(Path(folder) / "empty.parquet")
            _lists(pairs.limit(0).collect()).write_parquet(files[-1])
        pl.scan_parquet(files).sink_parquet(processed.seen, row_group_size=_ROW_GROUP)


def _lists(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.unique().group_by(USER_ID).agg(pl.col(ITEM_ID).sort()).sort(USER_ID)
