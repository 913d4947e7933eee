"""Check the canonical tables of interactions before any long work begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import polars as pl

from towermill.columns import ITEM_ID, LEAST_MATCH, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.workflows.prepare.base import (
    TableChecks,
    require_distinct,
    require_times,
    time_counts,
    with_nulls,
)
from towermill.workflows.prepare.matches import require_match
from towermill.workflows.prepare.stats import InteractionStats
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.tables import Tables

#: Begins the names of counts of infinities.
_INFINITE = "infinite_"
#: Users, and items: with fewer, there is nothing to rank or to rank for.
_FEWEST = 2


class InteractionChecks(TableChecks[Tables]):
    """The checks of interactions, users and items."""

    kind: ClassVar[str] = "interactions"

    @staticmethod
    def check(
        tables: Tables,
        on_null_id: Literal["error", "drop"] = "error",
        min_match: float = LEAST_MATCH,
    ) -> InteractionStats:
        """Look through the tables, streaming, and return the statistics of ``stats.json``.

        Interactions are read twice. Memory grows with the distinct users and items, not with the
        rows.

        Parameters
        ----------
        tables
            As a source reads them.
        on_null_id
            With ``drop``, rows without an id are counted, and everything else is counted without
            them; `drop_null_ids` takes them away.
        min_match
            Share of the rows that must find their id in `items`, and in `users`.

        Raises
        ------
        DataError
            No interactions, or of a single user or item; null or NaN ids (unless dropped);
            infinite numbers; null timestamps, or any before 1970 or after 2100; duplicate ids in
            `items` or `users`; ids of different types; too few interactions find
            their id in `items` or `users`.
        """
        frame = tables.interactions
        schema = frame.collect_schema()
        no_user, no_item = _missing(schema, USER_ID), _missing(schema, ITEM_ID)
        whole = ~(no_user | no_item)
        scalars = [
            pl.len().alias("all"),
            whole.sum().alias("rows"),
            no_user.sum().alias("null_user_ids"),
            no_item.sum().alias("null_item_ids"),
            *_time_scalars(schema, whole),
            *(pl.col(n).is_infinite().any().alias(_INFINITE + n) for n in _floats(schema)),
        ]
        kept = frame.filter(whole)
        counts = frame.select(scalars).collect(engine="streaming").row(0, named=True)
        dropped = counts["all"] - counts["rows"]
        if counts["all"] == 0:
            raise DataError("The interactions should hold rows. Found none: look at `source`.")
        if dropped and on_null_id == "error":
            raise DataError(
                f"Interactions should have a user_id and an item_id. Of {counts['all']} rows, "
                f"{counts['null_user_ids']} have no user_id and {counts['null_item_ids']} no "
                "item_id (null, NaN, blank, or text such as NULL). Fix the source, or set "
                "`source.on_null_id: drop`."
            )
        if counts["rows"] == 0:
            raise DataError(
                f"Interactions should have a user_id and an item_id. None of {counts['all']} has "
                "both."
            )
        if infinite := [n for n in _floats(schema) if counts[_INFINITE + n]]:
            raise DataError(
                f"The interactions' {infinite[0]!r} should hold finite numbers; some are infinite. "
                "Correct the source, or leave the column out."
            )
        by_user, by_item = tallies(
            counted(kept.select(USER_ID, ITEM_ID)), [USER_ID, ITEM_ID], pl.col(COUNT).sum()
        )
        times = _check_times(kept, counts) if TIMESTAMP in schema else {}
        sides: dict[str, int] = {}
        if tables.items is not None:
            sides |= _check_side(by_item, tables.items, ITEM_ID, "item", on_null_id, min_match)
        if tables.users is not None:
            sides |= _check_side(by_user, tables.users, USER_ID, "user", on_null_id, min_match)
        for ids, name in ((by_user, "user"), (by_item, "item")):
            if ids.height < _FEWEST:
                raise DataError(
                    f"Interactions should be of at least {_FEWEST} users and {_FEWEST} items. All "
                    f"{counts['rows']} rows have the {name} {ids.item(0, 0)!r}. Look whether "
                    "`source` names the right column."
                )
        rows, nulls = counts["rows"], {"interactions": dropped}
        nulls |= {f"{name}s": sides.get(f"{name}_rows_dropped", 0) for name in ("item", "user")}
        lone = {name: sides.get(f"interactions_without_{name}_row") for name in ("item", "user")}
        return InteractionStats(
            events="interactions",
            read=counts["all"] + sum(tables.dropped.get("interactions", {}).values()),
            rows=rows,
            dropped=with_nulls(tables.dropped, nulls),
            users=by_user.height,
            items=by_item.height,
            **times,
            matched={f"{n}s": (rows - lost) / rows for n, lost in lone.items() if lost is not None},
            null_ids_dropped=dropped,
            null_user_ids=counts["null_user_ids"],
            null_item_ids=counts["null_item_ids"],
            **sides,
        )

    @staticmethod
    def drop_null_ids(tables: Tables) -> Tables:
        """Return the tables, lazily, without rows whose user or item id is null or NaN."""
        return replace(
            tables,
            interactions=_without_nulls(tables.interactions, USER_ID, ITEM_ID),
            items=None if tables.items is None else _without_nulls(tables.items, ITEM_ID),
            users=None if tables.users is None else _without_nulls(tables.users, USER_ID),
        )


def _without_nulls(frame: pl.LazyFrame, *columns: str) -> pl.LazyFrame:
    schema = frame.collect_schema()
    return frame.filter(*(~_missing(schema, column) for column in columns))


def _missing(schema: pl.Schema, column: str) -> pl.Expr:
    if column not in schema:
        raise DataError(
            f"A canonical table should have a column {column!r}. Found: {', '.join(schema)}."
        )
    col = pl.col(column)
    if schema[column].is_float():
        return col.is_null() | col.is_nan().fill_null(True)
    return col.is_null()


def _floats(schema: pl.Schema) -> list[str]:
    return [name for name, kind in schema.items() if kind.is_float()]


def _time_scalars(schema: pl.Schema, whole: pl.Expr) -> list[pl.Expr]:
    if TIMESTAMP not in schema:
        return []
    if not isinstance(schema[TIMESTAMP], pl.Datetime):
        raise DataError(
            f"The interactions' timestamp should be a Datetime. Its type is {schema[TIMESTAMP]}."
        )
    return time_counts(pl.col(TIMESTAMP).filter(whole))


def _check_times(kept: pl.LazyFrame, counts: dict[str, Any]) -> dict[str, Any]:
    if counts["null_times"]:
        example = kept.filter(pl.col(TIMESTAMP).is_null()).select(USER_ID, ITEM_ID).head(1)
        shown = example.collect(engine="streaming").row(0, named=True)
        raise DataError(
            f"Interactions should have timestamps throughout. {counts['null_times']} are null, or "
            f"text that is no time; the first is that of {shown}. Fix the source, or leave "
            "`timestamp` out."
        )
    require_times(counts["outside"], counts["example"])
    return {"first": counts["first"], "last": counts["last"]}


def _check_side(
    seen: pl.DataFrame,
    side: pl.LazyFrame,
    column: str,
    name: str,
    on_null_id: str,
    min_match: float,
) -> dict[str, int]:
    """Check one side table against `seen`: an id and the `COUNT` of its interactions a row."""
    schema = side.collect_schema()
    missing = _missing(schema, column)
    if seen.schema[column] != schema[column]:
        raise DataError(
            f"`{column}` should be of one type. It is {seen.schema[column]} in the interactions "
            f"and {schema[column]} in the {name}s."
        )
    (by_id,) = tallies(counted(side.select(column)), [column], pl.col(COUNT).sum())
    nulls = int(by_id.filter(missing)[COUNT].sum())
    if nulls and on_null_id == "error":
        raise DataError(
            f"The {name}s should each have a {column}. {nulls} of {by_id[COUNT].sum()} rows have "
            "none (null or NaN). Take them out of the source."
        )
    by_id = by_id.filter(~missing)
    require_distinct(by_id, column, f"{name}s")
    lone = require_match(seen, by_id.select(column), column, f"{name}s", min_match)
    return {
        f"{name}_rows": by_id.height,
        f"{name}_rows_dropped": nulls,
        f"{name}s_without_row": lone.height,
        f"interactions_without_{name}_row": int(lone[COUNT].sum()),
    }
