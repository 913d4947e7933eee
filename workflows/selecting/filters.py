"""Filter interactions: by rating or signal, duplicate pairs, and counts per user and item."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field

from towermill.columns import ITEM_ID, RATING, USER_ID
from towermill.errors import DataError
from towermill.section import Section
from towermill.workflows.selecting.deduplicate import deduplicated
from towermill.workflows.selecting.signals import (
    Condition,
    Wanted,
    conditions_of,
    require_signals,
)
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.tables import Tables, row_count, sink


class Filters(Section):
    """The `filters` section of a recipe; by default nothing is filtered.

    They are applied in this order: `min_rating`, `min_signal`, `deduplicate`, then `min_user` and
    `min_item`.

    Parameters
    ----------
    min_user, min_item
        Keep users, and items, with at least this many interactions. Both are counted on the same
        rows, so that what one takes away may leave less for the other, unless `core`.
    core
        Repeat until both hold: the largest core (Batagelj & Zaversnik, 2003) in which every user
        has `min_user` and every item `min_item` interactions.
    min_rating
        Keep interactions rated at least so high; unrated ones go.
    min_signal
        Signal to the least value with which an interaction stays, or to a list of values.
    deduplicate
        Keep a user's ``first`` or ``last`` interaction with an item, by timestamp where
        there is one, and in the source's order among equals.
    """

    min_user: int = Field(default=0, ge=0)
    min_item: int = Field(default=0, ge=0)
    core: bool = False
    min_rating: float | None = None
    min_signal: dict[str, Wanted] = Field(default_factory=dict)
    deduplicate: Literal["none", "first", "last"] = "none"


def apply_filters(tables: Tables, filters: Filters, scratch: Path) -> Tables:
    """Return `tables` with the interactions that `filters` keep, in their order.

    With any filter set, `items` and `users` keep those rows that a remaining interaction names;
    with none, all. The interactions that stay are written to `scratch`, so that what comes after
    does not filter again. All is done in streaming passes: memory grows with the distinct users
    and items, of which the ids are held, not with the rows.

    Parameters
    ----------
    scratch
        A folder that exists until the tables have been consumed.

    Raises
    ------
    DataError
        A column is missing, or a filter leaves nothing: named, with the number of rows before it.
    """
    frame = tables.interactions
    _require(frame, filters)
    if filters == Filters():
        return tables
    conditions = _conditions(filters)
    dropped, rows = _dropped_by(frame, conditions)
    frame = frame.filter(*conditions.values())
    dense = filters.min_user > 1 or filters.min_item > 1
    if filters.deduplicate != "none":
        frame = deduplicated(frame, filters.deduplicate, scratch)
        left = row_count(frame)
        dropped["deduplicate"], rows = rows - left, left
    if dense:
        frame = _dense(frame, filters)
    sink(frame, scratch / "filtered.parquet")
    frame = pl.scan_parquet(scratch / "filtered.parquet")
    remaining = row_count(frame)
    if dense:
        name = f"min_user: {filters.min_user}, min_item: {filters.min_item}"
        name += ", core: true" if filters.core else ""
        if remaining == 0:
            raise _nothing_left(name, rows)
        dropped[name] = rows - remaining
    dropped = {name: count for name, count in dropped.items() if count}

    ids = {ITEM_ID: tables.items, USER_ID: tables.users}
    named = tallies(frame.select(list(ids)), list(ids))
    items, users = (
        None if side is None else _keep(side, kept.lazy(), column)
        for (column, side), kept in zip(ids.items(), named, strict=True)
    )
    gone = {**tables.dropped, "filters": dropped} if dropped else tables.dropped
    return replace(tables, interactions=frame, items=items, users=users, dropped=gone)


def _require(frame: pl.LazyFrame, filters: Filters) -> None:
    names = frame.collect_schema().names()
    if filters.min_rating is not None and RATING not in names:
        raise DataError(
            "`filters.min_rating` needs a rating in the interactions. Found columns: "
            f"{', '.join(names)}. Name it in `source`, or use `min_signal`."
        )
    require_signals(frame, filters.min_signal, "filters.min_signal")


def _conditions(filters: Filters) -> dict[str, pl.Expr]:
    conditions: dict[str, pl.Expr] = {}
    if filters.min_rating is not None:
        conditions[f"min_rating: {filters.min_rating:g}"] = Condition(
            RATING, filters.min_rating
        ).expr()
    for condition in conditions_of(filters.min_signal):
        conditions[f"min_signal: {condition}"] = condition.expr()
    return conditions


def _dropped_by(frame: pl.LazyFrame, conditions: dict[str, pl.Expr]) -> tuple[dict[str, int], int]:
    """Return the rows that each condition drops after those before it, and the rows that are left.

    Raises
    ------
    DataError
        A condition leaves none.
    """
    # Each with all before it, in one pass.
    together = list(accumulate(conditions.values(), lambda before, one: before & one))
    counts = frame.select(
        pl.len().alias("0"), *(e.sum().alias(str(i)) for i, e in enumerate(together, 1))
    )
    before, *left = counts.collect(engine="streaming").row(0)
    dropped = {}
    for name, rows in zip(conditions, left, strict=True):
        if rows == 0:
            raise _nothing_left(name, before)
        dropped[name], before = before - rows, rows
    return dropped, int(before)


def _nothing_left(name: str, before: int) -> DataError:
    return DataError(
        f"`filters` ({name}) should leave some interactions. It left 0 of {before}. Lower it, "
        "or look whether the source reads what you expect."
    )


def _keep(frame: pl.LazyFrame, ids: pl.LazyFrame, column: str) -> pl.LazyFrame:
    # In the frame's order: splits count on it.
    return frame.join(ids, on=column, how="semi", maintain_order="left")


def _dense(frame: pl.LazyFrame, filters: Filters) -> pl.LazyFrame:
    least = {USER_ID: filters.min_user, ITEM_ID: filters.min_item}
    kept: dict[str, pl.DataFrame] = {}
    sizes: dict[str, int] | None = None
    while True:
        rest = frame.select(USER_ID, ITEM_ID)
        for column, ids in kept.items():
            rest = _keep(rest, ids.lazy(), column)
        counts = tallies(counted(rest), list(least), pl.col(COUNT).sum())
        kept = {
            column: ids.filter(pl.col(COUNT) >= count).select(column)
            for ids, (column, count) in zip(counts, least.items(), strict=True)
        }
        now = {column: ids.height for column, ids in kept.items()}
        # What stays is part of what stayed before: equal sizes are equal sets.
        if not filters.core or now == sizes or 0 in now.values():
            break
        sizes = now
    for column, ids in kept.items():
        frame = _keep(frame, ids.lazy(), column)
    return frame
