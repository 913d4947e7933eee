"""Training, validation and test splits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from towermill.columns import HISTORY, SPLIT, USER_ID
from towermill.errors import DataError
from towermill.section import Section
from towermill.workflows.selecting.cold import treat_cold
from towermill.workflows.selecting.counts import (
    BELOW_SIGNAL,
    Splits,
    count_all,
    count_held_out,
    known_ids,
)
from towermill.workflows.selecting.cuts import (
    TRAIN,
    Cut,
    by_row,
    by_time,
    by_user,
    given,
    leave_one_out,
)
from towermill.workflows.selecting.sessions import by_session
from towermill.workflows.selecting.signals import Wanted, conditions_of, require_signals
from towermill.workflows.streaming.group_by import tallies


class Split(Section):
    """The `split` section of a recipe.

    Parameters
    ----------
    kind
        ``time``: rows from a moment on are valid, from a later one test; rows of one timestamp stay
        together. ``leave_one_out``: each user's last row is test, the one before validation (by
        timestamp, which it needs, and the source's order among equals); users with fewer than three
        rows stay in training. ``random``: see `by`. ``given``: by the source's ``split`` column
        (train, validation, test). ``session``: whole sessions (all rows of a ``user_id``), by the
        time of their first row; the last row of a session of validation or test is the answer, and
        the items before it are the query's history.
    validation, test
        For ``time`` and ``random``: shares of the rows; for ``session``: of the sessions. For
        ``time`` and ``session`` also dates, on which validation, and test, begin (UTC).
        ``validation: 0`` makes no validation split.
    by
        For ``random``: ``row`` draws exactly ``int(share * rows)`` rows of all; ``user`` shuffles
        each user's rows and cuts them at the shares, as RecBole does (RS, group_by: user): a split
        has ``int(share * n)`` of a user's n rows, training the rest; then, test first, a split of
        which the share is below one row gets one from training, as long as training keeps one.
    cold
        Rows of validation and test whose user or item has no row in training: ``drop``, ``keep``,
        or ``flag`` in Boolean columns ``cold_user`` and ``cold_item``. All impressions are kept.
        With ``session``, whose queries are histories, no user is cold.
    min_signal
        Signal to the least value, or a list of the values, with which a row of validation or test
        is an answer; other rows are left out there, and stay in training.
    seed
        Seed of ``random``.
    """

    kind: Literal["time", "leave_one_out", "random", "given", "session"] = "time"
    validation: float | date = 0.1
    test: float | date = 0.1
    by: Literal["row", "user"] = "row"
    cold: Literal["drop", "keep", "flag"] = "drop"
    min_signal: dict[str, Wanted] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _check(self) -> Split:
        validation, test = self.validation, self.test
        if isinstance(test, date):
            if self.kind not in ("time", "session"):
                raise ValueError(
                    f"`split.test` should be a share where `kind` is {self.kind}. Received: {test}."
                )
            if isinstance(validation, date) and validation >= test:
                raise ValueError(
                    "`split.validation` should be before `split.test`. "
                    f"Received: validation={validation}, test={test}."
                )
            if not isinstance(validation, date) and validation != 0:
                raise ValueError(
                    "`split.validation` should be a date, or 0, where `test` is a date. "
                    f"Received: validation={validation}, test={test}."
                )
        elif isinstance(validation, date):
            raise ValueError(
                "`split.validation` and `split.test` should both be dates, or both shares. "
                f"Received: validation={validation}, test={test}."
            )
        elif not (0 <= validation < 1 and 0 < test < 1 and validation + test < 1):
            raise ValueError(
                "`split.validation` should be at least 0, `split.test` above 0, and both together "
                f"below 1. Received: validation={validation}, test={test}."
            )
        return self


def split(
    interactions: pl.LazyFrame,
    config: Split,
    scratch: Path,
    earlier: Mapping[str, pl.LazyFrame] | None = None,
) -> Splits:
    """Return ``train``, ``validation`` and ``test`` rows, each in the source's order, and counts.

    The same rows in the same order give the same splits. ``validation`` is absent where none is
    asked for, and with kind ``given`` where the source has none; that kind takes the ``split``
    column away. The frames stay lazy. What decides a row's split is found in streaming passes:
    memory grows with the distinct users and items (of which numbers and ids are held), not with the
    rows.

    Parameters
    ----------
    scratch
        A folder for what must be written on the way; nothing stays in it.
    earlier
        Column to the ids that an earlier training knows: they are not cold.

    Raises
    ------
    DataError
        A column is missing, a timestamp null, a given split unknown, or a split empty.
    """
    require_signals(interactions, config.min_signal, "split.min_signal")
    cut = _cut(interactions, config, scratch)
    names = interactions.collect_schema().names()
    if config.kind == "given":
        names.remove(SPLIT)
    if config.kind == "session":
        names.append(HISTORY)
    wanted = conditions_of(config.min_signal)
    answers = [condition.expr().fill_null(False) for condition in wanted]
    assigned = {name: cut.frame.filter(rows) for name, rows in cut.conditions.items()}
    parts = {
        name: (rows if name == TRAIN else rows.filter(*answers)).select(names)
        for name, rows in assigned.items()
    }
    known = known_ids(assigned[TRAIN], earlier)
    if config.kind == "session":  # queried by its own items, none is unknown
        (known[USER_ID],) = tallies(interactions.select(USER_ID), [USER_ID])
    if config.cold != "keep":
        parts = treat_cold(parts, config.cold, known)
    # One after the other: together they would keep rows of their common scan for one another.
    counts, dropped = {}, {}
    for name, rows in assigned.items():
        if name == TRAIN:
            counts[name] = count_all(rows)
            continue
        drop_cold = config.cold == "drop" and counts[TRAIN].rows > 0
        counts[name], lost = count_held_out(rows, answers, known, drop_cold)
        if lost:
            dropped[name] = lost
    if empty := [name for name, found in counts.items() if found.rows == 0]:
        hint = ", or lower `min_signal`" if config.min_signal else ""
        lost_rows = sum(
            rows
            for reasons in dropped.values()
            for reason, rows in reasons.items()
            if reason != BELOW_SIGNAL
        )
        raise DataError(
            f"`split` (kind {config.kind}) should leave rows in each split, but {empty[0]} is "
            f"empty. Sizes: {', '.join(f'{name} {found.rows}' for name, found in counts.items())}; "
            f"{lost_rows} rows with a cold user or item were dropped. Change `validation` and "
            f"`test`, choose another `kind`, or `cold: keep`{hint}."
        )
    return Splits(parts, counts, dropped)


def _cut(interactions: pl.LazyFrame, config: Split, scratch: Path) -> Cut:
    if config.kind == "given":
        return given(interactions)
    if config.kind == "session":
        return by_session(interactions, config.validation, config.test, scratch)
    if config.kind == "leave_one_out":
        return leave_one_out(interactions, validation=bool(config.validation))
    if (
        config.kind == "time"
        or isinstance(config.validation, date)
        or isinstance(config.test, date)
    ):
        # Dates are of kinds time and session only: `Split` has seen to it.
        return by_time(interactions, config.validation, config.test)
    if config.by == "user":
        return by_user(interactions, config.validation, config.test, config.seed, scratch)
    return by_row(interactions, config.validation, config.test, config.seed)
