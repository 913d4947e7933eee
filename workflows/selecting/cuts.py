"""Ways to cut interactions into training, validation and test rows.

A row's split depends on conditions on the row itself, and on numbers of its user that are joined to
it: never on a set of rows, which would grow with the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from towermill.columns import SPLIT, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.streaming.order_statistics import kth_smallest, mixed
from towermill.workflows.streaming.partition import partitioned, parts_by
from towermill.workflows.tables import row_count

TRAIN, VALIDATION, TEST = "train", "validation", "test"
#: What data may call its validation rows.
_VALIDATION_NAMES = (VALIDATION, "valid", "val", "dev")
_ROW, _KEY = "__row", "__key"
#: Columns of a user's own cuts: where its validation and its test rows begin.
_VALIDATION, _TEST = "__validation", "__test"


@dataclass(frozen=True)
class Cut:
    """Rows, with all that the conditions look at, and the condition of each split's rows."""

    frame: pl.LazyFrame
    conditions: dict[str, pl.Expr]


def by_time(frame: pl.LazyFrame, validation: float | date, test: float | date) -> Cut:
    """Cut at two moments: given as dates, or such that the shares' rows are at or after them."""
    rows, time = require_times(frame, "time"), pl.col(TIMESTAMP)
    if isinstance(test, date):
        last = _midnight(test)
        first = _midnight(validation) if isinstance(validation, date) else None
    else:
        share = 0 if isinstance(validation, date) else validation
        validation_rows, test_rows = share_of(rows, share), share_of(rows, test)
        if test_rows == 0 or (share and validation_rows == 0):
            raise DataError(
                f"`split` should leave rows in each split. Of {rows} rows, "
                f"test={test} makes {test_rows} and validation={validation} makes "
                f"{validation_rows}. Raise the shares."
            )
        # The moment of the last row but so many; all of its equals go with it.
        last = _moment(frame, rows - test_rows + 1)
        first = _moment(frame, rows - test_rows - validation_rows + 1) if share else None
    if first is None:
        return Cut(frame, {TRAIN: time < last, TEST: time >= last})
    between = (time >= first) & (time < last)
    return Cut(frame, {TRAIN: time < first, VALIDATION: between, TEST: time >= last})


def require_times(frame: pl.LazyFrame, kind: str) -> int:
    """Return the number of rows; raise `DataError` if one has no timestamp.

    Parameters
    ----------
    kind
        Of the split, for errors.
    """
    names = frame.collect_schema().names()
    if TIMESTAMP not in names:
        raise DataError(
            f"`split.kind: {kind}` needs a timestamp in the interactions. Found columns: "
            f"{', '.join(names)}. Name it in `source`, or choose random."
        )
    null_count = pl.col(TIMESTAMP).null_count().alias("nulls")
    nulls, rows = frame.select(null_count, pl.len()).collect(engine="streaming").row(0)
    if nulls:
        raise DataError(
            f"`split.kind: {kind}` needs timestamps throughout. Found {nulls} null ones."
        )
    return int(rows)


def leave_one_out(frame: pl.LazyFrame, validation: bool) -> Cut:
    """Cut off each user's last row and, with `validation`, the one before.

    Two numbers for each user are held. Rows of one time are in the order of the source.

    Raises
    ------
    DataError
        There is no timestamp: the order of rows in a file is not that of time.
    """
    names = frame.collect_schema().names()
    if TIMESTAMP not in names:
        raise DataError(
            "`split.kind: leave_one_out` needs a timestamp in the interactions, to know each "
            f"user's last row. Found columns: {', '.join(names)}. Name it in `source`, or choose "
            "`kind: random` with `by: user`."
        )
    # The time, then the row: one number, as the greatest of two columns cannot be asked for.
    time = pl.col(TIMESTAMP).cast(pl.Int64).fill_null(pl.lit(-(2**63), dtype=pl.Int64))
    key = pl.col(_ROW).cast(pl.Int128)
    key += time.cast(pl.Int128) * pl.lit(2**63, dtype=pl.Int128)
    keyed = frame.with_row_index(_ROW).with_columns(key.alias(_KEY)).drop(_ROW)
    keys = keyed.select(USER_ID, _KEY)
    (most,) = tallies(counted(keys), [USER_ID], pl.col(_KEY).max(), pl.col(COUNT).sum())
    users = most.filter(pl.col(COUNT) >= 3).select(USER_ID, pl.col(_KEY).alias(_TEST))
    is_test = pl.col(_KEY).eq_missing(pl.col(_TEST))
    if validation:
        before = keys.join(users.lazy(), on=USER_ID, nulls_equal=True).filter(~is_test)
        (second,) = tallies(before.select(USER_ID, _KEY), [USER_ID], pl.col(_KEY).max())
        users = users.join(second.rename({_KEY: _VALIDATION}), on=USER_ID, nulls_equal=True)
    cut = with_users(keyed, users)
    if not validation:
        return Cut(cut, {TRAIN: ~is_test, TEST: is_test})
    is_validation = pl.col(_KEY).eq_missing(pl.col(_VALIDATION))
    return Cut(cut, {TRAIN: ~(is_test | is_validation), VALIDATION: is_validation, TEST: is_test})


def by_row(frame: pl.LazyFrame, validation: float, test: float, seed: int) -> Cut:
    """Draw `test`, then `validation`, of all rows: those with the least random numbers."""
    keyed = _keyed(frame, seed)
    rows = row_count(frame)
    test_rows, validation_rows = share_of(rows, test), share_of(rows, validation)
    key, column = pl.col(_KEY), keyed.select(_KEY)
    # No two numbers are alike: below the (k + 1)-th least one lie k rows.
    drawn, out = (
        pl.lit(kth_smallest(column, key, k + 1) if rows else 0, dtype=pl.UInt64)
        for k in (test_rows, test_rows + validation_rows)
    )
    conditions = {TRAIN: key >= out, VALIDATION: (key >= drawn) & (key < out), TEST: key < drawn}
    return Cut(keyed, conditions if validation else {TRAIN: key >= out, TEST: key < drawn})


def by_user(frame: pl.LazyFrame, validation: float, test: float, seed: int, scratch: Path) -> Cut:
    """Cut each user's rows, in the order of their random numbers, at the shares.

    Two numbers for each user are held, and one part of all rows' users and numbers at a time; the
    parts lie in `scratch` meanwhile.
    """
    keyed = _keyed(frame, seed)
    parts = partitioned(keyed.select(USER_ID, _KEY), parts_by(row_count(frame), USER_ID), scratch)
    users = [_user_cuts(part, validation, test) for part in parts]
    empty = keyed.select(USER_ID, pl.col(_KEY).alias(_VALIDATION), pl.col(_KEY).alias(_TEST)).limit(
        0
    )
    cut = with_users(keyed, pl.concat([empty.collect(), *users]))
    is_test = (pl.col(_KEY) >= pl.col(_TEST)).fill_null(False)
    if not validation:
        return Cut(cut, {TRAIN: ~is_test, TEST: is_test})
    is_out = (pl.col(_KEY) >= pl.col(_VALIDATION)).fill_null(False)
    return Cut(cut, {TRAIN: ~is_out, VALIDATION: is_out & ~is_test, TEST: is_test})


def given(frame: pl.LazyFrame) -> Cut:
    """Cut by the column ``split``."""
    names = frame.collect_schema().names()
    if SPLIT not in names:
        raise DataError(
            f"`split.kind: given` needs a column {SPLIT!r} in the interactions. Found columns: "
            f"{', '.join(names)}. Choose another kind."
        )
    found = set(frame.select(SPLIT).unique().collect(engine="streaming")[SPLIT].to_list())
    if strange := found - {TRAIN, *_VALIDATION_NAMES, TEST}:
        raise DataError(
            f"The column {SPLIT!r} should hold train, validation or test. Found also: "
            f"{', '.join(sorted(map(repr, strange)))}."
        )
    named = {TRAIN: (TRAIN,), VALIDATION: _VALIDATION_NAMES, TEST: (TEST,)}
    if not found & set(_VALIDATION_NAMES):
        named.pop(VALIDATION)
    return Cut(frame, {split: pl.col(SPLIT).is_in(names) for split, names in named.items()})


def share_of(rows: int, share: float) -> int:
    """Return `share` of `rows`, rounded down."""
    # 0.29 * 100 is 28.999…: not what was meant.
    return int(share * rows + 1e-9)


def _midnight(day: date) -> pl.Expr:
    return pl.lit(day).cast(pl.Datetime("us"))


def _moment(frame: pl.LazyFrame, k: int) -> pl.Expr:
    """Return the `k`-th timestamp, from 1, as a value to compare row groups with."""
    kind = frame.collect_schema()[TIMESTAMP]
    number = kth_smallest(frame.select(TIMESTAMP), pl.col(TIMESTAMP).cast(pl.Int64), k)
    return pl.lit(pl.Series([number], dtype=pl.Int64).cast(kind).item())


def _keyed(frame: pl.LazyFrame, seed: int) -> pl.LazyFrame:
    """Add each row's random number."""
    return frame.with_row_index(_ROW).with_columns(mixed(pl.col(_ROW), seed).alias(_KEY)).drop(_ROW)


def with_users(frame: pl.LazyFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """Join the columns of `users` to their rows, which keep their order."""
    return frame.join(users.lazy(), on=USER_ID, how="left", maintain_order="left", nulls_equal=True)


def _user_cuts(rows: pl.DataFrame, validation: float, test: float) -> pl.DataFrame:
    """Return the least number of each user's validation rows and of its test rows.

    They are null for a user without such rows.

    Which are the last ones of the user's numbers in order.
    """
    # RecBole's arithmetic, in its order: the requested number rounded down, then one row for a
    # split that rounding left without, test before validation, as long as training keeps one.
    count, n_validation, n_test = pl.col(COUNT), pl.col(_VALIDATION), pl.col(_TEST)
    want_validation, want_test = count * validation, count * test
    few_test = (count - n_validation - n_test > 1) & (want_test > 0) & (want_test < 1)
    few_validation = (
        (count - n_validation - n_test > 1) & (want_validation > 0) & (want_validation < 1)
    )
    users = (
        rows.group_by(USER_ID)
        .agg(pl.len().cast(pl.Int64).alias(COUNT), pl.col(_KEY).sort())
        .with_columns(
            want_validation.cast(pl.Int64).alias(_VALIDATION), want_test.cast(pl.Int64).alias(_TEST)
        )
        .with_columns(n_test + few_test.cast(pl.Int64))
        .with_columns(n_validation + few_validation.cast(pl.Int64))
    )
    keys = pl.col(_KEY).list
    return users.select(
        USER_ID,
        keys.get(count - n_test - n_validation, null_on_oob=True).alias(_VALIDATION),
        keys.get(count - n_test, null_on_oob=True).alias(_TEST),
    )
