"""Cut each user's interactions into sessions, for logs without users."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import AfterValidator

from towermill.columns import TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.workflows.streaming.partition import partitioned, parts_by
from towermill.workflows.tables import row_count

_ROW = "__row"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def to_gap(text: str) -> timedelta:
    """Return a duration that is written as a whole number and a unit.

    Raises
    ------
    ValueError
        It is written otherwise, or is 0.

    Examples
    --------
    >>> from towermill.workflows.sources.sessions import to_gap
    >>> to_gap("30m")
    datetime.timedelta(seconds=1800)
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None or not int(found[1]):
        raise ValueError(
            "A duration should be a whole number above 0 and a unit (s, m, h or d): 30m. "
            f"Received: {text!r}"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _checked(text: str) -> str:
    to_gap(text)
    return text


#: A duration in a recipe: ``30m``.
Gap = Annotated[str, AfterValidator(_checked)]


def cut_sessions(interactions: pl.LazyFrame, gap: timedelta, scratch: Path) -> pl.LazyFrame:
    """Return the interactions with sessions in place of users: ``user_id`` is the session's.

    A session is a run of a user's rows with at most `gap` between one row and the next. Its id is
    the user's and the moment of its first row, so that later logs do not use it again:
    ``<user>-20240131T235959``. Rows come out user by user, and by time within a user (equal times
    in the source's order).

    One part of the rows is held at a time; all are written to `scratch`.

    Raises
    ------
    DataError
        There is no timestamp, or some are null.
    """
    names = interactions.collect_schema().names()
    what = "`source.interactions.session_gap` needs a timestamp in each row."
    if TIMESTAMP not in names:
        raise DataError(f"{what} Found columns: {', '.join(names)}. Name it in `timestamp`.")
    nulls = interactions.select(pl.col(TIMESTAMP).null_count()).collect(engine="streaming").item()
    if nulls:
        raise DataError(f"{what} Found {nulls} null ones. Remove those rows, or give them a time.")
    folder = scratch / "sessions"
    folder.mkdir()
    files: list[Path] = []
    part = parts_by(row_count(interactions), USER_ID)
    for rows in partitioned(interactions.with_row_index(_ROW), part, scratch):
        files.append(folder / f"{len(files)}.parquet")
        _with_sessions(rows, gap).select(names).write_parquet(files[-1])
    if not files:
        return interactions.with_columns(pl.col(USER_ID).cast(pl.String))
    return pl.scan_parquet(files)


def _with_sessions(rows: pl.DataFrame, gap: timedelta) -> pl.DataFrame:
    time, user = pl.col(TIMESTAMP), pl.col(USER_ID)
    begins = (time.diff() > gap) | user.ne_missing(user.shift()) | (pl.int_range(pl.len()) == 0)
    start = pl.when(begins).then(time).forward_fill()
    session = pl.concat_str(user.cast(pl.String), pl.lit("-"), start.dt.strftime("%Y%m%dT%H%M%S"))
    return rows.sort(USER_ID, TIMESTAMP, _ROW).with_columns(session.alias(USER_ID))
