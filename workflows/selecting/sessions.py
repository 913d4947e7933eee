"""Cut interactions into whole sessions, and query the held-out ones by their own items."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from towermill.columns import HISTORY, ITEM_ID, TIMESTAMP, USER_ID
from towermill.workflows.selecting.cuts import TRAIN, Cut, by_time, require_times, with_users
from towermill.workflows.streaming.group_by import tallies
from towermill.workflows.streaming.partition import partitioned, parts_by
from towermill.workflows.tables import row_count

_ROW, _LAST, _SPLIT = "__row", "__last", "__split"


def by_session(
    frame: pl.LazyFrame, validation: float | date, test: float | date, scratch: Path
) -> Cut:
    """Cut whole sessions at two moments, by the time of their first row.

    A session is all rows of a ``user_id``. Training has all rows of its sessions. Of each session
    of validation and test the last row is kept, with the items of those before it, oldest first, in
    the column ``history`` (rows of one time in the source's order); one of a single row is left
    out. So are sessions evaluated by Hidasi et al. (ICLR 2016), who predict each next item.

    Memory grows with the sessions, and with the rows of those held out; one part of these rows is
    sorted at a time.

    Parameters
    ----------
    validation, test
        Shares of the sessions, or the days on which validation, and test, begin.

    Raises
    ------
    DataError
        There is no timestamp, some are null, or a split has no session.
    """
    require_times(frame, "session")
    (starts,) = tallies(frame.select(USER_ID, TIMESTAMP), [USER_ID], pl.col(TIMESTAMP).min())
    conditions = by_time(starts.lazy(), validation, test).conditions
    names = [pl.when(rows).then(pl.lit(name)) for name, rows in conditions.items()]
    sessions = starts.select(USER_ID, pl.coalesce(names).alias(_SPLIT))
    held = sessions.lazy().filter(pl.col(_SPLIT) != TRAIN).select(USER_ID)

    keyed = frame.with_row_index(_ROW)
    rows = keyed.select(USER_ID, ITEM_ID, TIMESTAMP, _ROW).join(held, on=USER_ID, how="semi")
    parts = partitioned(rows, parts_by(row_count(rows), USER_ID), scratch)
    queries = pl.concat([_queries(rows.limit(0).collect()), *map(_queries, parts)])
    cut = with_users(keyed, sessions.join(queries, on=USER_ID, how="left"))
    is_answer = (pl.col(_ROW) == pl.col(_LAST)).fill_null(False)
    return Cut(
        cut,
        {
            name: pl.col(_SPLIT) == name if name == TRAIN else (pl.col(_SPLIT) == name) & is_answer
            for name in conditions
        },
    )


def _queries(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the last row of each session of two rows or more, and the items before it."""
    sessions = (
        rows.sort(TIMESTAMP, _ROW)
        .group_by(USER_ID, maintain_order=True)
        .agg(pl.col(_ROW).last().alias(_LAST), pl.col(ITEM_ID).alias(HISTORY))
    )
    items = pl.col(HISTORY).list
    return sessions.with_columns(items.head(items.len() - 1)).filter(items.len() > 0)
