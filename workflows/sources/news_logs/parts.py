"""Logs of news that come in parts: which split a part is, and its tables as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import polars as pl

from towermill.columns import (
    CLICKED,
    HIDDEN,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    SPLIT,
    TIMESTAMP,
    USER_ID,
)
from towermill.errors import DataError
from towermill.workflows.tables import ImpressionTables, Tables

#: Under the names of EB-NeRD, in the order of time.
TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)


class Parted:
    """What sources of news in parts tell `towermill init`: a mixin of a `SourceConfig`."""

    kind: str

    def _parts(self) -> Sequence[Any]:
        """Return the parts in the folder; raise `DataError` if there are none."""
        raise NotImplementedError

    @classmethod
    def recognise(cls, folder: str) -> Self | None:
        """Return the source of a folder that holds the data as unpacked."""
        made: Any = cls
        found: Self = made(path=folder)
        found._parts()
        return found

    @property
    def starting_recipe(self) -> str:
        """An NRMS."""
        return f"{self.kind}-nrms"

    @property
    def gives_splits(self) -> bool:
        """Whether there is more than one part."""
        return len(self._parts()) > 1


def source_folder(path: str, key: str) -> Path:
    """Return the folder that the recipe's `key` names.

    Raises
    ------
    DataError
        Nothing, or a file, is there.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"`{key}` should be a folder. Nothing, or a file, is at {folder} "
            f"(working directory: {Path.cwd()})."
        )
    return folder


def splits_of_parts(
    parts: Collection[str], latest: datetime | None, validation_days: int
) -> dict[str, pl.Expr] | None:
    """Return, for each part, what the column ``split`` says of its impressions.

    What is reported on was never looked at while a model was chosen: the validation part is
    ``test``, and the last days of train, which choose the epoch, are ``validation``. The test part,
    whose clicks are withheld, is ``hidden``. Where there is a test part but no validation part,
    the last days of train are ``test`` and as many before them ``validation``. One part alone has
    no splits: the recipe cuts it.

    Parameters
    ----------
    parts
        Some of `PARTS`.
    latest
        The time of the last impression of train, from which days are counted back, each 24 hours;
        what lies exactly on the border is the earlier split's.
    validation_days
        How many.
    """
    if len(parts) < 2 or latest is None:
        return None
    span = timedelta(days=validation_days)
    time = pl.col(TIMESTAMP)
    last, before = pl.lit(latest - span), pl.lit(latest - 2 * span)
    if VALIDATION in parts:
        train = pl.when(time > last).then(pl.lit("validation")).otherwise(pl.lit("train"))
    else:
        train = (
            pl.when(time > last)
            .then(pl.lit("test"))
            .when(time > before)
            .then(pl.lit("validation"))
            .otherwise(pl.lit("train"))
        )
    found = {TRAIN: train, VALIDATION: pl.lit("test"), TEST: pl.lit(HIDDEN)}
    return {part: found[part] for part in parts}


def predicted_parts(parts: Collection[str]) -> dict[str, str]:
    """Return the parts that competitions have predicted, and their splits: `splits_of_parts`."""
    splits = {VALIDATION: "test", TEST: HIDDEN}
    return {part: splits[part] for part in parts if part in splits and len(parts) > 1}


def latest_time(frame: pl.LazyFrame) -> datetime | None:
    """Return the last timestamp, streaming; None of no rows."""
    found = frame.select(pl.col(TIMESTAMP).max()).collect(engine="streaming").item()
    return found if isinstance(found, datetime) else None


def first_of_each(frames: Sequence[pl.LazyFrame], key: str) -> pl.LazyFrame:
    """Return the rows of all `frames`; of a key that is in several, those of the first.

    Only keys are held in memory. A key that one frame has twice stays twice.
    """
    kept: list[pl.LazyFrame] = []
    for frame in frames:
        if kept:
            known = pl.concat([earlier.select(key) for earlier in kept])
            frame = frame.join(known, on=key, how="anti", maintain_order="left")
        kept.append(frame)
    return pl.concat(kept, how="diagonal")


def clicks_of(tables: ImpressionTables) -> Tables:
    """Return the clicked items as interactions, one row a click, without hidden impressions.

    The context columns go along; what was shown and not clicked, and histories, do not.
    """
    frame = tables.impressions
    names = frame.collect_schema().names()
    left_out = (IMPRESSION_ID, USER_ID, TIMESTAMP, HISTORY_ID, INVIEW, CLICKED)
    context = [name for name in names if name not in left_out]
    if SPLIT in names:
        frame = frame.filter(pl.col(SPLIT) != HIDDEN)
    clicks = (
        frame.select(USER_ID, pl.col(CLICKED).alias(ITEM_ID), TIMESTAMP, *context)
        .explode(ITEM_ID)
        .filter(pl.col(ITEM_ID).is_not_null())
    )
    return Tables(interactions=clicks, items=tables.items, features=dict(tables.features))


def as_rows(tables: ImpressionTables, rows: str) -> ImpressionTables | Tables:
    """Return what the option `rows` asks for: ``impressions``, or ``clicks`` by `clicks_of`."""
    return clicks_of(tables) if rows == "clicks" else tables
