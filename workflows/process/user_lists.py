"""Write the items of each user, in encoded ids: those seen, and those of each split in order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from towermill.columns import (
    EVENT_WEIGHT,
    FIRST_ID,
    HISTORY,
    ITEM_ID,
    RAW_PREFIX,
    TIMESTAMP,
    USER_ID,
)
from towermill.processed import RANKED_SPLITS, ProcessedFolder
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.streaming.partition import PART, PART_ROWS, partitioned

#: Users of a row group: each has a list.
_ROW_GROUP = 25_000
#: Of a row: the split that it is in, by number, and its time.
_PLACE: Final = "__place"
_TIME: Final = "__time"


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
    _write_by_user(pairs, _distinct, processed.seen, scratch)


def write_sequences(out: Path, scratch: Path, size: int, earlier: Path | None = None) -> None:
    """Write ``sequences.parquet``, and each user's latest ``history`` into ``users.parquet``.

    ``sequences.parquet`` holds ``user_id`` and a list of items for each split, oldest first (in the
    order of the rows where there are no timestamps). Ids without a vocabulary entry are left out.
    If the rows have weights of events, ``event_weight`` lists those of the items of ``train``.
    Memory is bounded as in `write_seen`.

    Parameters
    ----------
    out
        Holds ``users.parquet`` and the encoded splits.
    size
        A user's ``history`` holds at most this many items, the latest of all splits.
    earlier
        The sequences of the run being continued: they come before the new training rows.
    """
    processed = ProcessedFolder(out)
    held = [name for name in RANKED_SPLITS if any(processed.split(name).glob("*.parquet"))]
    train = pl.scan_parquet(processed.split(held[0]) / "*.parquet")
    weights = EVENT_WEIGHT in train.collect_schema()
    rows = [_rows(processed.split(name), place, weights) for place, name in enumerate(held)]
    if earlier is not None:
        rows.append(_earlier_rows(earlier, weights))
    lists = [
        pl.col(ITEM_ID).filter(pl.col(_PLACE) == place).alias(name)
        for place, name in enumerate(held)
    ]
    if weights:
        lists.append(pl.col(EVENT_WEIGHT).filter(pl.col(_PLACE) == 0))

    def ordered(part: pl.DataFrame) -> pl.DataFrame:
        """Return the lists of one range of users."""
        part = part.sort(USER_ID, _PLACE, _TIME, maintain_order=True)
        part = part.with_columns(pl.max_horizontal(pl.col(_PLACE), pl.lit(0, pl.Int8)))
        return part.group_by(USER_ID, maintain_order=True).agg(lists)

    _write_by_user(pl.concat(rows), ordered, processed.sequences, scratch)
    latest = pl.scan_parquet(processed.sequences).select(
        USER_ID, pl.concat_list(held).list.tail(size).alias(HISTORY)
    )
    users = pl.read_parquet(processed.users)
    users = users.join(latest.collect(), on=USER_ID, how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.Int32))
    users.with_columns(pl.col(HISTORY).fill_null(none)).write_parquet(processed.users)


def _rows(split: Path, place: int, weights: bool) -> pl.LazyFrame:
    """Return a split's rows of known users and items, with their time, `place` and weight."""
    rows = pl.scan_parquet(split / "*.parquet")
    timed = TIMESTAMP in rows.collect_schema().names()
    time = pl.col(TIMESTAMP).to_physical().cast(pl.Int64) if timed else pl.lit(0, pl.Int64)
    known = (pl.col(USER_ID) >= FIRST_ID) & (pl.col(ITEM_ID) >= FIRST_ID)
    columns = [pl.lit(place, pl.Int8).alias(_PLACE), time.alias(_TIME)]
    columns += [pl.col(EVENT_WEIGHT)] if weights else []
    return rows.filter(known).select(USER_ID, ITEM_ID, *columns)


def _earlier_rows(sequences: Path, weights: bool) -> pl.LazyFrame:
    """Return the rows of the continued run's sequences, which come before all others.

    Rows that were held out there weigh 1.
    """
    held = pl.scan_parquet(sequences)
    lists = [name for name in RANKED_SPLITS if name in held.collect_schema().names()]
    names = [ITEM_ID, *([EVENT_WEIGHT] if weights else [])]
    columns = [pl.lit(-1, pl.Int8).alias(_PLACE), pl.lit(0, pl.Int64).alias(_TIME)]
    parts = []
    for name in lists:
        own = [pl.col(name).alias(ITEM_ID)]
        if weights and name == lists[0] and EVENT_WEIGHT in held.collect_schema().names():
            own.append(pl.col(EVENT_WEIGHT))
        elif weights:
            one = pl.element().cast(pl.Float32) * 0 + 1
            own.append(pl.col(name).list.eval(one).alias(EVENT_WEIGHT))
        parts.append(held.select(USER_ID, *own).explode(names, empty_as_null=False))
    return pl.concat(parts).select(USER_ID, ITEM_ID, *columns, *names[1:])


def _write_by_user(
    rows: pl.LazyFrame,
    lists: Callable[[pl.DataFrame], pl.DataFrame],
    path: Path,
    scratch: Path,
) -> None:
    """Write what `lists` makes of each range of users, in the order of their encoded ids."""
    # Each part is a range of users, so the concatenated parts are sorted by user.
    (counts,) = tallies(counted(rows.select(USER_ID)), [USER_ID], pl.col(COUNT).sum())
    start = pl.col(COUNT).cast(pl.UInt64).cum_sum() - pl.col(COUNT)
    parts = counts.sort(USER_ID).select(USER_ID, (start // PART_ROWS).cast(pl.UInt32).alias(PART))
    numbered = rows.join(parts.lazy(), on=USER_ID, maintain_order="left")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files: list[Path] = []
        for part in partitioned(numbered, pl.col(PART), scratch):
            files.append(Path(folder) / f"{len(files)}.parquet")
            lists(part).write_parquet(files[-1])
        if not files:
            files.append(Path(folder) / "empty.parquet")
            lists(rows.limit(0).collect()).write_parquet(files[-1])
        pl.scan_parquet(files).sink_parquet(path, row_group_size=_ROW_GROUP)


def _distinct(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.unique().group_by(USER_ID).agg(pl.col(ITEM_ID).sort()).sort(USER_ID)
