"""Training, validation and test splits."""

from __future__ import annotations

from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from towermill.columns import SPLIT, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.workflows.cold import treat_cold

TRAIN, VALID, TEST = "train", "valid", "test"
_ROW, _HASH, _COUNT = "__row", "__hash", "__count"


class Split(BaseModel):
    """The `split` section of a recipe.

    Parameters
    ----------
    kind
        ``time``: rows from a moment on are valid, from a later one test; rows of one timestamp
        stay together. ``leave_one_out``: each user's last row is test, the one before valid (by
        timestamp where there is one, the source's order among equals); users with fewer than three
        rows stay in training. ``random``: see `by`. ``given``: by the source's ``split`` column
        (train, valid, test).
    valid, test
        For ``time`` and ``random``: shares of the rows. For ``time`` also dates, on which valid,
        and test, begin (UTC). ``valid: 0`` makes no validation split.
    by
        For ``random``: ``row`` draws exactly ``int(share * rows)`` rows of all; ``user`` shuffles
        each user's rows and cuts them at the shares, as RecBole does (RS, group_by: user): a split
        has ``int(share * n)`` of a user's n rows, training the rest; then, test first, a split of
        which the share is below one row gets one from training, as long as training keeps one.
    cold
        Rows of valid and test whose user or item has no row in training: ``drop``, ``keep``, or
        ``flag`` in Boolean columns ``cold_user`` and ``cold_item``.
    seed
        Of ``random``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["time", "leave_one_out", "random", "given"] = "time"
    valid: float | date = 0.1
    test: float | date = 0.1
    by: Literal["row", "user"] = "row"
    cold: Literal["drop", "keep", "flag"] = "drop"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _check(self) -> Split:
        valid, test = self.valid, self.test
        if isinstance(test, date):
            if self.kind != "time":
                raise ValueError(
                    f"`split.test` should be a share where `kind` is {self.kind}. Received: {test}."
                )
            if isinstance(valid, date) and valid >= test:
                raise ValueError(
                    "`split.valid` should be before `split.test`. "
                    f"Received: valid={valid}, test={test}."
                )
            if not isinstance(valid, date) and valid != 0:
                raise ValueError(
                    "`split.valid` should be a date, or 0, where `test` is a date. "
                    f"Received: valid={valid}, test={test}."
                )
        elif isinstance(valid, date):
            raise ValueError(
                "`split.valid` and `split.test` should both be dates, or both shares. "
                f"Received: valid={valid}, test={test}."
            )
        elif not (0 <= valid < 1 and 0 < test < 1 and valid + test < 1):
            raise ValueError(
                "`split.valid` should be at least 0, `split.test` above 0, and both together below "
                f"1. Received: valid={valid}, test={test}."
            )
        return self


def split(interactions: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    """Return ``train``, ``valid`` and ``test`` rows, each in the source's order.

    The same rows in the same order give the same splits. ``valid`` is absent where none is asked
    for, and with kind ``given`` where the source has none; that kind takes the ``split`` column
    away. The frames stay lazy; what decides a row's split (timestamps, row numbers, ids of the
    training split) is collected.

    Raises
    ------
    DataError
        A column is missing, a timestamp null, a given split unknown, or a split empty.
    """
    numbered = interactions.with_row_index(_ROW)
    makers = {
        "time": _by_time,
        "leave_one_out": _leave_one_out,
        "random": _by_user if config.by == "user" else _by_row,
        "given": _given,
    }
    parts = makers[config.kind](numbered, config)
    found = _sizes(parts)
    if config.cold != "keep" and found[TRAIN]:
        parts = treat_cold(parts, config.cold)
    sizes = _sizes(parts) if config.cold == "drop" else found
    if empty := [name for name, rows in sizes.items() if rows == 0]:
        lost = sum(found.values()) - sum(sizes.values())
        raise DataError(
            f"`split` (kind {config.kind}) should leave rows in each split, but {empty[0]} is "
            f"empty. Sizes: {', '.join(f'{name} {rows}' for name, rows in sizes.items())}; "
            f"{lost} rows with a cold user or item were dropped. Change `valid` and `test`, "
            "choose another `kind`, or `cold: keep`."
        )
    return {name: part.drop(_ROW) for name, part in parts.items()}


def _sizes(parts: dict[str, pl.LazyFrame]) -> dict[str, int]:
    counts = [part.select(pl.len()) for part in parts.values()]
    collected = pl.collect_all(counts, engine="streaming")
    return dict(zip(parts, (int(frame.item()) for frame in collected), strict=True))


def _by_time(frame: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    names = [name for name in frame.collect_schema().names() if name != _ROW]
    if TIMESTAMP not in names:
        raise DataError(
            "`split.kind: time` needs a timestamp in the interactions. Found columns: "
            f"{', '.join(names)}. Name it in `source`, or choose leave_one_out or random."
        )
    time = pl.col(TIMESTAMP)
    nulls = frame.select(time.null_count()).collect(engine="streaming").item()
    if nulls:
        raise DataError(f"`split.kind: time` needs timestamps throughout. Found {nulls} null ones.")
    if isinstance(config.test, date):
        cuts = {TEST: _midnight(config.test)}
        cuts |= {VALID: _midnight(config.valid)} if isinstance(config.valid, date) else {}
    else:
        times = frame.select(time).collect(engine="streaming")[TIMESTAMP].sort()
        valid, test = _counts(times.len(), config)
        if test == 0 or (config.valid and valid == 0):
            raise DataError(
                f"`split` should leave rows in each split. Of {times.len()} rows, "
                f"test={config.test} makes {test} and valid={config.valid} makes {valid}. "
                "Raise the shares."
            )
        # The value of the last row but so many; all of its equals go with it.
        cuts = {TEST: pl.lit(times[-test])}
        cuts |= {VALID: pl.lit(times[-test - valid])} if config.valid else {}
    first = cuts.get(VALID, cuts[TEST])
    parts = {TRAIN: frame.filter(time < first)}
    if VALID in cuts:
        parts[VALID] = frame.filter(time >= cuts[VALID], time < cuts[TEST])
    return parts | {TEST: frame.filter(time >= cuts[TEST])}


def _midnight(day: date) -> pl.Expr:
    return pl.lit(day).cast(pl.Datetime("us"))


def _leave_one_out(frame: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    order = [TIMESTAMP, _ROW] if TIMESTAMP in frame.collect_schema().names() else [_ROW]
    last = (
        frame.group_by(USER_ID)
        .agg(pl.col(_ROW).sort_by(order).tail(2).alias(_ROW), pl.len().alias(_COUNT))
        .filter(pl.col(_COUNT) >= 3)
        .select(
            pl.col(_ROW).list.get(1).alias(TEST),
            pl.col(_ROW).list.get(0).alias(VALID),
        )
        .collect(engine="streaming")
    )
    return _from_rows(frame, last[TEST], last[VALID] if config.valid else None)


def _by_row(frame: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    rows = int(frame.select(pl.len()).collect(engine="streaming").item())
    valid, test = _counts(rows, config)
    order = np.argsort(_mixed(np.arange(rows, dtype=np.uint64), config.seed))
    return _from_rows(
        frame,
        pl.Series(order[:test]),
        pl.Series(order[test : test + valid]) if config.valid else None,
    )


def _by_user(frame: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    rows = frame.select(USER_ID, _ROW).collect(engine="streaming")
    mixed = _mixed(rows[_ROW].to_numpy().astype(np.uint64), config.seed)
    count, rank = pl.col(_COUNT), pl.int_range(pl.len()).over(USER_ID)
    # RecBole's arithmetic, in its order: what is asked for rounded down, then one row for a split
    # that rounding left without, test before valid, as long as training keeps one.
    valid, test = pl.col(VALID), pl.col(TEST)
    want_valid, want_test = count * config.valid, count * config.test
    few_test = (count - valid - test > 1) & (want_test > 0) & (want_test < 1)
    few_valid = (count - valid - test > 1) & (want_valid > 0) & (want_valid < 1)
    cut = (
        rows.with_columns(pl.Series(_HASH, mixed))
        .sort(USER_ID, _HASH)
        .with_columns(pl.len().over(USER_ID).cast(pl.Int64).alias(_COUNT), rank.alias(_HASH))
        .with_columns(want_valid.cast(pl.Int64).alias(VALID), want_test.cast(pl.Int64).alias(TEST))
        .with_columns(test + few_test.cast(pl.Int64))
        .with_columns(valid + few_valid.cast(pl.Int64))
    )
    is_test = pl.col(_HASH) >= count - test
    is_valid = ~is_test & (pl.col(_HASH) >= count - test - valid)
    return _from_rows(
        frame, cut.filter(is_test)[_ROW], cut.filter(is_valid)[_ROW] if config.valid else None
    )


def _given(frame: pl.LazyFrame, config: Split) -> dict[str, pl.LazyFrame]:
    del config  # nothing to choose
    names = [name for name in frame.collect_schema().names() if name != _ROW]
    if SPLIT not in names:
        raise DataError(
            f"`split.kind: given` needs a column {SPLIT!r} in the interactions. Found columns: "
            f"{', '.join(names)}. Choose another kind."
        )
    counts = frame.group_by(SPLIT).len().collect(engine="streaming")
    found = set(counts[SPLIT].to_list())
    if strange := found - {TRAIN, VALID, TEST}:
        raise DataError(
            f"The column {SPLIT!r} should hold train, valid or test. Found also: "
            f"{', '.join(sorted(map(repr, strange)))}."
        )
    kept = [TRAIN, *([VALID] if VALID in found else []), TEST]
    return {name: frame.filter(pl.col(SPLIT) == name).drop(SPLIT) for name in kept}


def _counts(rows: int, config: Split) -> tuple[int, int]:
    """Return how many of `rows` are valid and test: shares rounded down."""
    shares = (share for share in (config.valid, config.test) if not isinstance(share, date))
    # 0.29 * 100 is 28.999…: not what was meant.
    valid, test = (int(share * rows + 1e-9) for share in shares)
    return valid, test


def _mixed(rows: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Return a random-looking number for each row number, no two alike (SplitMix64).

    Unlike a library's generator it gives the same in every version, and for a row of any place.
    """
    offset = np.array([seed + 1], np.uint64) * np.uint64(0xD1342543DE82EF95)
    mixed = (rows + offset) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _from_rows(
    frame: pl.LazyFrame, test: pl.Series, valid: pl.Series | None
) -> dict[str, pl.LazyFrame]:
    sets = {TEST: test} if valid is None else {VALID: valid, TEST: test}
    ids = {
        name: pl.DataFrame({_ROW: rows.cast(pl.get_index_type())}) for name, rows in sets.items()
    }
    out = pl.concat(ids.values()).lazy()
    parts = {TRAIN: frame.join(out, on=_ROW, how="anti", maintain_order="left")}
    for name, rows in ids.items():
        parts[name] = frame.join(rows.lazy(), on=_ROW, how="semi", maintain_order="left")
    return parts
