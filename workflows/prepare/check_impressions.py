"""Check the tables of impressions before any long work begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import polars as pl

from towermill.columns import (
    CLICKED,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LEAST_MATCH,
    TIMESTAMP,
    USER_ID,
    VECTOR,
)
from towermill.errors import DataError
from towermill.workflows.prepare.base import (
    TableChecks,
    require_distinct,
    require_times,
    time_counts,
    with_nulls,
)
from towermill.workflows.prepare.consistency import repeated, require_consistent
from towermill.workflows.prepare.stats import ImpressionStats
from towermill.workflows.streaming.group_by import COUNT, counted, tallies
from towermill.workflows.tables import ImpressionTables, row_count

_IMPRESSIONS = (IMPRESSION_ID, USER_ID, TIMESTAMP, HISTORY_ID, INVIEW, CLICKED)
_HISTORIES = (HISTORY_ID, USER_ID, HISTORY)


class ImpressionChecks(TableChecks[ImpressionTables]):
    """The checks of impressions, histories, items and vectors."""

    kind: ClassVar[str] = "impressions"

    @staticmethod
    def check(
        tables: ImpressionTables,
        on_null_id: Literal["error", "drop"] = "error",
        min_match: float = LEAST_MATCH,
    ) -> ImpressionStats:
        """Look through the tables, streaming, and return the statistics of ``stats.json``.

        Impressions are read five times and histories twice. Memory grows with the distinct users
        and items, not with what was shown or read.

        Parameters
        ----------
        tables
            As a source reads them.
        on_null_id
            With ``drop``, impressions without a user are counted, and everything else is counted
            without them; `drop_null_ids` takes them away.
        min_match
            Not used: impressions name items that have no row.

        Raises
        ------
        DataError
            A column is missing, or ids are of different types; no impressions; null user ids
            (unless dropped); no click at all, many that were not shown, or many repeated
            impressions; null timestamps, or any before 1970 or after 2100; ``history_id`` of
            impressions that no history has; duplicate or null ids in `items` or `vectors`; vectors
            of different lengths, or not finite.
        """
        del min_match
        _check_types(tables)
        nulls = _null_users(tables)
        if nulls and on_null_id == "error":
            raise DataError(
                f"Impressions should have a user_id. {nulls} have none. Fix the source, or set "
                "`source.on_null_id: drop`."
            )
        tables = ImpressionChecks.drop_null_ids(tables) if nulls else tables
        counts = (
            tables.impressions.select(_scalars()).collect(engine="streaming").row(0, named=True)
        )
        if counts["rows"] == 0:
            raise DataError("There should be impressions. Found none: look at `source`.")
        _check_times(counts)
        if counts["unlabelled"] + counts["without_click"] == counts["rows"]:
            raise DataError(
                f"Impressions should hold clicks. None of {counts['rows']} has any. Look whether "
                "`source` names the right files."
            )
        repeats = repeated(tables.impressions)
        require_consistent(counts["rows"], repeats, counts["with_click_not_shown"])
        histories = _check_histories(tables.histories, counts.pop("last_history"))
        seen = {
            "shown": _distinct(tables.impressions, INVIEW),
            "clicked": _distinct(tables.impressions, CLICKED),
            "read": _distinct(tables.histories, HISTORY),
        }
        rows = counts.pop("rows")
        sides: dict[str, int] = {f"items_{name}": ids.height for name, ids in seen.items()}
        matched = {}
        if tables.items is not None:
            items = _check_ids(tables.items, "items")
            sides["item_rows"] = items.height
            for name, ids in seen.items():
                lone = ids.join(items, on=ITEM_ID, how="anti")
                sides[f"items_{name}_without_row"] = lone.height
            shown = seen["shown"].height
            matched["items"] = (shown - sides["items_shown_without_row"]) / max(shown, 1)
        if tables.vectors is not None:
            sides["vector_rows"] = _check_ids(tables.vectors, "vectors").height
            sides["vector_size"] = _check_vectors(tables.vectors)
        return ImpressionStats(
            events="impressions",
            read=rows + nulls + sum(tables.dropped.get("impressions", {}).values()),
            rows=rows,
            dropped=with_nulls(tables.dropped, {"impressions": nulls}),
            users=_distinct(tables.impressions, USER_ID).height,
            items=seen["shown"].height,
            matched=matched,
            null_ids_dropped=nulls,
            repeated=repeats,
            histories=histories,
            **counts,
            **sides,
        )

    @staticmethod
    def drop_null_ids(tables: ImpressionTables) -> ImpressionTables:
        """Return `tables`, lazily, without impressions whose user id is null."""
        return replace(tables, impressions=tables.impressions.filter(pl.col(USER_ID).is_not_null()))


def _check_types(tables: ImpressionTables) -> None:
    impressions = _columns(tables.impressions, _IMPRESSIONS, "impressions")
    histories = _columns(tables.histories, _HISTORIES, "histories")
    if not isinstance(impressions[TIMESTAMP], pl.Datetime):
        raise DataError(
            f"The impressions' timestamp should be a Datetime. Its type is "
            f"{impressions[TIMESTAMP]}."
        )
    users = {"impressions": impressions[USER_ID], "histories": histories[USER_ID]}
    lists = {
        INVIEW: impressions[INVIEW],
        CLICKED: impressions[CLICKED],
        HISTORY: histories[HISTORY],
    }
    items: dict[str, pl.DataType] = {}
    for name, kind in lists.items():
        if not isinstance(kind, pl.List):
            raise DataError(f"`{name}` should hold lists of item ids. Its type is {kind}.")
        items[name] = _data_type(kind.inner)
    for name, frame in (("items", tables.items), ("vectors", tables.vectors)):
        if frame is not None:
            wanted = (ITEM_ID, VECTOR) if name == "vectors" else (ITEM_ID,)
            items[name] = _columns(frame, wanted, name)[ITEM_ID]
    for role, kinds in ((USER_ID, users), (ITEM_ID, items)):
        if len(set(kinds.values())) > 1:
            found = ", ".join(f"{kind} in {name}" for name, kind in kinds.items())
            raise DataError(f"`{role}` should be of one type. It is {found}.")


def _data_type(kind: Any) -> pl.DataType:
    return kind if isinstance(kind, pl.DataType) else kind()


def _columns(frame: pl.LazyFrame, wanted: tuple[str, ...], table: str) -> pl.Schema:
    schema = frame.collect_schema()
    for column in wanted:
        if column not in schema:
            raise DataError(
                f"The {table} should have a column {column!r}. Found: {', '.join(schema)}."
            )
    return schema


def _null_users(tables: ImpressionTables) -> int:
    nulls = tables.impressions.select(pl.col(USER_ID).is_null().sum())
    return int(nulls.collect(engine="streaming").item())


def _scalars() -> list[pl.Expr]:
    shown, clicked = pl.col(INVIEW), pl.col(CLICKED)
    told = clicked.is_not_null()
    empty = shown.list.len().fill_null(0) == 0
    not_shown = clicked.list.set_difference(shown.fill_null([])).list.drop_nulls().list.len()
    not_clicked = shown.list.set_difference(clicked).list.drop_nulls().list.len()
    return [
        pl.len().alias("rows"),
        *time_counts(pl.col(TIMESTAMP)),
        (~told).sum().alias("unlabelled"),
        (told & (clicked.list.len() == 0)).sum().alias("without_click"),
        (told & ~empty & (not_clicked == 0)).sum().alias("without_negative"),
        pl.col(HISTORY_ID).is_null().sum().alias("without_history"),
        empty.sum().alias("without_inview"),
        (not_shown > 0).sum().alias("with_click_not_shown"),
        not_shown.sum().cast(pl.Int64).alias("clicks_not_shown"),
        (shown.list.len() - shown.list.drop_nulls().list.len())
        .sum()
        .cast(pl.Int64)
        .alias("null_inview"),
        pl.col(HISTORY_ID).max().alias("last_history"),
    ]


def _check_times(counts: dict[str, Any]) -> None:
    """Raise an error unless all times are given and plausible; pop the counts used only here."""
    nulls, outside, example = (counts.pop(name) for name in ("null_times", "outside", "example"))
    if nulls:
        raise DataError(
            f"Impressions should have timestamps throughout. {nulls} are null. Fix the source."
        )
    require_times(outside, example)


def _check_histories(histories: pl.LazyFrame, last: int | None) -> int:
    """Return how many rows there are, numbered from 0, of which impressions look up none past."""
    number = pl.col(HISTORY_ID)
    rows = row_count(histories)
    numbered = (
        histories.select(HISTORY_ID)
        .with_row_index("__row")
        .select((number == pl.col("__row")).fill_null(False).all())
    )
    if not numbered.collect(engine="streaming").item():
        raise DataError("`history_id` should number the rows of histories from 0. It does not.")
    if last is not None and last >= rows:
        raise DataError(
            "Each `history_id` of the impressions should have a row in histories, which has "
            f"{rows}. Received: {last}."
        )
    return rows


def _distinct(frame: pl.LazyFrame, column: str) -> pl.DataFrame:
    """Return the distinct values, but null, of a column or of its lists, as `ITEM_ID`."""
    ids = frame.select(pl.col(column).alias(ITEM_ID))
    if isinstance(ids.collect_schema()[ITEM_ID], pl.List):
        ids = ids.explode(ITEM_ID)
    return _tally(ids).select(ITEM_ID)


def _tally(ids: pl.LazyFrame) -> pl.DataFrame:
    present = counted(ids.filter(pl.col(ITEM_ID).is_not_null()))
    (found,) = tallies(present, [ITEM_ID], pl.col(COUNT).sum())
    return found


def _check_ids(frame: pl.LazyFrame, table: str) -> pl.DataFrame:
    """Return the ids of a table that should have each once."""
    ids = frame.select(ITEM_ID)
    nulls = int(ids.select(pl.col(ITEM_ID).null_count()).collect(engine="streaming").item())
    if nulls:
        raise DataError(
            f"The {table} should each have an item_id. {nulls} rows have none. Take them out of "
            "the source."
        )
    found = _tally(ids)
    require_distinct(found, ITEM_ID, table)
    return found.select(ITEM_ID)


def _check_vectors(vectors: pl.LazyFrame) -> int:
    size = pl.col(VECTOR).list.len().fill_null(0)
    finite = pl.element().is_finite().fill_null(False).all()
    least, most, wrong = (
        vectors.select(
            size.min().fill_null(0).alias("a"),
            size.max().fill_null(0).alias("b"),
            (~pl.col(VECTOR).list.eval(finite).list.first()).sum().alias("c"),
        )
        .collect(engine="streaming")
        .row(0)
    )
    if wrong:
        raise DataError(
            f"Vectors should hold finite numbers. {wrong} have a null, NaN or infinity. Fix them, "
            "or leave these items out of the vectors."
        )
    if least != most:
        raise DataError(
            f"Vectors should all have one length. Found lengths from {least} to {most}."
        )
    return int(most)
