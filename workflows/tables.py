"""The canonical tables that every source is read into."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from towermill.features import Features

#: Rows of a row group in what is written here: what is read or written at a time, and what
#: statistics can skip.
ROW_GROUP = 250_000
#: The same where a row holds hundreds of ids, as histories' do.
LONG_ROW_GROUP = 20_000


@dataclass(frozen=True)
class Tables:
    """What a source holds, lazily, under canonical column names.

    Attributes
    ----------
    interactions
        One row an event: ``user_id``, ``item_id`` (Int64 or String), where there is one
        ``timestamp`` (Datetime in microseconds, UTC without a zone), and signals (``rating``,
        ``click`` …) and context columns under their own names.
    items, users
        One row an id: ``item_id`` or ``user_id``, then feature columns. None where there are none.
    features
        For ``user``, ``item`` and ``context``: which columns are features, and of what kind.
    """

    interactions: pl.LazyFrame
    items: pl.LazyFrame | None = None
    users: pl.LazyFrame | None = None
    features: dict[str, Features] = field(default_factory=dict)


@dataclass(frozen=True)
class ImpressionTables:
    """What a source of impressions holds: what was shown to whom, and what of it was clicked.

    Item ids are of one type (Int64 or String) wherever they stand.

    Attributes
    ----------
    impressions
        One row an impression: ``impression_id`` (Int64 or String; need not be unique), ``user_id``,
        ``timestamp`` (Datetime in microseconds, UTC without a zone), ``history_id`` (Int64; null
        for a user without a history), ``inview`` (list of item ids, in the order shown),
        ``clicked`` (list of item ids; null where the clicks are not told), where the source has
        parts ``split`` (train, valid, test, hidden), and context columns under their own names.
    histories
        What users had read, once however many impressions look it up: ``history_id`` (Int64, from
        0, in the order of rows), ``user_id``, ``history`` (list of item ids, the last read last).
        A user's later history has the greater id.
    items
        One row an id: ``item_id``, where there is one ``published`` (Datetime as above), text and
        feature columns. None where the source has no items table.
    vectors
        Given vectors of items: ``item_id`` and ``vector`` (list of Float32, all of one length).
    features
        For ``item`` and ``context``: which columns are features, and of what kind.
    """

    impressions: pl.LazyFrame
    histories: pl.LazyFrame
    items: pl.LazyFrame | None = None
    vectors: pl.LazyFrame | None = None
    features: dict[str, Features] = field(default_factory=dict)


def sink(frame: pl.LazyFrame, path: Path, group: int = ROW_GROUP) -> None:
    """Write `frame` as Parquet, streaming: compressed with zstd, in groups of `group` rows."""
    frame.sink_parquet(path, compression="zstd", row_group_size=group)


def row_count(frame: pl.LazyFrame) -> int:
    """Return the number of rows, streaming."""
    return int(frame.select(pl.len()).collect(engine="streaming").item())


class SourceConfig(BaseModel):
    """The `source` section of a recipe, and the reader of what it names: one subclass a source.

    Parameters
    ----------
    on_null_id
        What a row without a user or item id is: an ``error``, or one to ``drop`` and count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    on_null_id: Literal["error", "drop"] = "error"

    @property
    def gives_impressions(self) -> bool:
        """Whether `read` returns `ImpressionTables`; else it returns `Tables`."""
        return getattr(self, "rows", None) == "impressions"

    @abstractmethod
    def files(self) -> list[Path]:
        """Return the raw files that will be read, in a fixed order (their fingerprints are keyed).

        Raises
        ------
        DataError
            A folder or file is missing, or holds no layout that this source knows.
        """

    @abstractmethod
    def read(self, scratch: Path) -> Tables | ImpressionTables:
        """Return the canonical tables, lazily.

        Parameters
        ----------
        scratch
            An empty folder for what must be written on the way; it stands until the tables have
            been consumed.

        Raises
        ------
        DataError
            A column is missing or of a type that its role cannot have.
        """
