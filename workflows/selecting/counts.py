"""Count the rows and users of splits, and those that training does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from towermill.columns import ITEM_ID, USER_ID
from towermill.processed import SplitCounts
from towermill.workflows.streaming.group_by import COUNT, counted, tallies

#: Why a row was dropped from a split.
COLD_USERS, COLD_ITEMS = "user without training rows", "item without training rows"
BELOW_SIGNAL = "left out by `split.min_signal`"
_ANSWERS, _USER, _WARM, _KEPT = "__answers", "__user", "__warm", "__kept"
_LOST = "__lost"


@dataclass(frozen=True)
class Splits:
    """The rows of each split, lazily, and how many there are.

    Attributes
    ----------
    parts
        Split name to rows: ``train``, ``validation`` (where asked for) and ``test``.
    counts
        The same splits' counts.
    dropped
        For each split that lost rows, their number by reason.
    """

    parts: dict[str, pl.LazyFrame]
    counts: dict[str, SplitCounts]
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)


def known_ids(
    train: pl.LazyFrame, earlier: Mapping[str, pl.LazyFrame] | None = None
) -> dict[str, pl.DataFrame]:
    """Return the distinct ids of users, and of items where rows have one, with training rows.

    Parameters
    ----------
    earlier
        Column to the ids that an earlier training knows.
    """
    columns = [c for c in (USER_ID, ITEM_ID) if c in train.collect_schema()]
    known = tallies(train.select(columns), columns)
    if earlier is not None:
        known = [
            pl.concat([ids, earlier[column].collect()]).unique(maintain_order=True)
            for ids, column in zip(known, columns, strict=True)
        ]
    return dict(zip(columns, known, strict=True))


def count_all(rows: pl.LazyFrame) -> SplitCounts:
    """Return the counts of a split from which nothing is dropped."""
    (users,) = tallies(counted(rows.select(USER_ID)), [USER_ID], pl.col(COUNT).sum())
    kept, distinct = int(users[COUNT].sum()), users.height
    return SplitCounts(assigned_rows=kept, assigned_users=distinct, rows=kept, users=distinct)


def count_held_out(
    assigned: pl.LazyFrame,
    answers: Sequence[pl.Expr],
    known: Mapping[str, pl.DataFrame],
    drop_cold: bool,
) -> tuple[SplitCounts, dict[str, int]]:
    """Return the counts of a split, and its dropped rows by reason, in one streaming pass.

    Memory grows with the distinct users and items.

    Parameters
    ----------
    assigned
        The rows that the split begins with.
    answers
        Conditions for a row to stay (`Split.min_signal`).
    known
        See `known_ids`.
    drop_cold
        Whether rows of unknown users and items are dropped.
    """
    rows = assigned.select(*known, pl.all_horizontal(pl.lit(True), *answers).alias(_ANSWERS))
    for (column, ids), flag in zip(known.items(), (_USER, _WARM), strict=False):
        rows = rows.join(ids.lazy().with_columns(pl.lit(True).alias(flag)), on=column, how="left")
    user = pl.col(_USER).fill_null(False)
    warm = user & pl.col(_WARM).fill_null(False) if ITEM_ID in known else user
    answers_it = pl.col(_ANSWERS).fill_null(False)
    flags = {
        _ANSWERS: answers_it,
        _USER: user,
        _WARM: warm,
        _LOST: answers_it & ~user,
        _KEPT: answers_it & warm if drop_cold else answers_it,
    }
    summed = counted(rows.select(USER_ID, *(e.cast(pl.UInt32).alias(n) for n, e in flags.items())))
    (users,) = tallies(summed, [USER_ID], *(pl.col(name).sum() for name in (COUNT, *flags)))
    sums = {name: int(users[name].sum()) for name in (COUNT, *flags)}
    reasons = {BELOW_SIGNAL: sums[COUNT] - sums[_ANSWERS]}
    if drop_cold:
        reasons[COLD_USERS] = sums[_LOST]
        reasons[COLD_ITEMS] = sums[_ANSWERS] - sums[_LOST] - sums[_KEPT]
    counts = SplitCounts(
        assigned_rows=sums[COUNT],
        assigned_users=users.height,
        rows=sums[_KEPT],
        users=users.filter(pl.col(_KEPT) > 0).height,
        cold_users=sums[COUNT] - sums[_USER],
        cold_items=sums[_USER] - sums[_WARM],
    )
    return counts, {reason: count for reason, count in reasons.items() if count}
