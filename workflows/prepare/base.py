"""The checks that depend on the kind of events, and their common base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

import polars as pl

from towermill.columns import LEAST_MATCH
from towermill.errors import DataError
from towermill.workflows.prepare.stats import PreparedStats
from towermill.workflows.streaming.group_by import COUNT
from towermill.workflows.tables import ImpressionTables, Tables

T = TypeVar("T", bound=Tables | ImpressionTables)

#: Range of valid timestamps: from the first to before the second.
_EARLIEST = pl.datetime(1970, 1, 1, time_unit="us")
_LATEST = pl.datetime(2101, 1, 1, time_unit="us")
#: Why a row was dropped, in the statistics.
NULL_ID = "null id"
#: Ids that an error names.
_EXAMPLES = 3


class TableChecks(ABC, Generic[T]):
    """The checks of tables of one kind of events before any long work begins."""

    kind: ClassVar[str]

    @staticmethod
    @abstractmethod
    def check(
        tables: T, on_null_id: Literal["error", "drop"] = "error", min_match: float = LEAST_MATCH
    ) -> PreparedStats:
        """Look through the tables, streaming, and return the statistics of ``stats.json``."""

    @staticmethod
    @abstractmethod
    def drop_null_ids(tables: T) -> T:
        """Return the tables, lazily, without rows that lack an id."""


def time_counts(time: pl.Expr) -> list[pl.Expr]:
    """Return what `require_times` needs of a column of timestamps, and its first and last."""
    outside = (time < _EARLIEST) | (time >= _LATEST)
    # As text: a year past 9999 has no Python value.
    return [
        time.null_count().alias("null_times"),
        outside.sum().alias("outside"),
        time.filter(outside).first().dt.to_string("iso").alias("example"),
        time.min().dt.to_string("iso").alias("first"),
        time.max().dt.to_string("iso").alias("last"),
    ]


def require_times(outside: int, example: str | None) -> None:
    """Raise `DataError` if timestamps are unlikely."""
    if outside:
        raise DataError(
            f"Timestamps should lie between 1970 and 2100. {outside} lie outside, such as "
            f"{example}. Does the column mix units (seconds, milliseconds …), or is it no time at "
            "all?"
        )


def require_distinct(tallied: pl.DataFrame, column: str, table: str) -> None:
    """Raise `DataError` if an id has more than one row of `COUNT`."""
    twice = tallied.filter(pl.col(COUNT) > 1).sort(column)
    if twice.height:
        examples = ", ".join(map(repr, twice[column].head(_EXAMPLES).to_list()))
        raise DataError(
            f"The {table} should have one row an id. {twice.height} ids have more, such as "
            f"{examples}. Keep one row of each."
        )


def with_nulls(
    dropped: Mapping[str, Mapping[str, int]], nulls: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Return rows dropped by table and reason, with those of each table that lack an id."""
    found = {table: dict(reasons) for table, reasons in dropped.items()}
    for table, rows in nulls.items():
        if rows:
            found.setdefault(table, {})[NULL_ID] = rows
    return found
