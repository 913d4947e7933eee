"""Whether impressions contradict themselves: repeated ones, and clicks on what was not shown."""

from __future__ import annotations

import logging

import polars as pl

from towermill.columns import IMPRESSION_ID, TIMESTAMP, USER_ID
from towermill.errors import DataError

logger = logging.getLogger(__name__)

#: Shares above which impressions are refused; fewer are reported.
_MOST_REPEATED, _MOST_NOT_SHOWN = 0.01, 0.5


def repeated(impressions: pl.LazyFrame) -> int:
    """Return how many impressions have the id, user and time of another one, streaming.

    One 64-bit hash an impression is held. Impressions without an id are left out.
    """
    key = pl.struct(IMPRESSION_ID, USER_ID, TIMESTAMP).hash()
    found = (
        impressions.filter(pl.col(IMPRESSION_ID).is_not_null())
        .select(key.alias("key"))
        .select(pl.len() - pl.col("key").n_unique())
    )
    return int(found.collect(engine="streaming").item())


def require_consistent(rows: int, repeats: int, with_click_not_shown: int) -> None:
    """Report repeated impressions, and clicks on items that were not shown; refuse many.

    Raises
    ------
    DataError
        More than 1 % of `rows` occur again, or more than half have such a click.
    """
    for count, most, what, look in (
        (repeats, _MOST_REPEATED, "occur again (same id, user and time)", "a file is there twice"),
        (
            with_click_not_shown,
            _MOST_NOT_SHOWN,
            "have a click on an item that was not shown",
            "clicks and items shown are of one log",
        ),
    ):
        if count > most * rows:
            raise DataError(
                f"Impressions should occur once, and clicks be on what was shown. Of {rows}, "
                f"{count} {what}. Look whether {look}."
            )
        if count:
            logger.warning("Of %d impressions, %d %s", rows, count, what)
