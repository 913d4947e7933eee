"""What is refused of impressions, and what is counted, before any long work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.prepare.check_impressions import ImpressionChecks
from towermill.workflows.prepare.stats import ImpressionStats
from towermill.workflows.tables import ImpressionTables

WHEN = datetime(2024, 1, 1)


def make(
    rows: Sequence[tuple[Any, Any, Any, Any]],
    histories: Sequence[list[Any]] = ([1, 2], [2, None]),
    **sides: Any,
) -> ImpressionTables:
    """Return tables of (user, history_id, inview, clicked) rows, one an hour."""
    impressions = pl.DataFrame(
        {
            "impression_id": list(range(len(rows))),
            "user_id": [row[0] for row in rows],
            "timestamp": [WHEN.replace(hour=hour) for hour in range(len(rows))],
            "history_id": [row[1] for row in rows],
            "inview": [row[2] for row in rows],
            "clicked": [row[3] for row in rows],
        },
        schema_overrides={
            "user_id": pl.Int64,
            "timestamp": pl.Datetime("us"),
            "history_id": pl.Int64,
            "inview": pl.List(pl.Int64),
            "clicked": pl.List(pl.Int64),
        },
    )
    read = pl.DataFrame(
        {
            "history_id": range(len(histories)),
            "user_id": [7] * len(histories),
            "history": histories,
        },
        schema_overrides={
            "history_id": pl.Int64,
            "user_id": pl.Int64,
            "history": pl.List(pl.Int64),
        },
    )
    frames = {
        name: pl.LazyFrame(
            {"item_id": ids}
            if name == "items"
            else {"item_id": list(ids), "vector": [*ids.values()]}
        )
        for name, ids in sides.items()
    }
    return ImpressionTables(impressions.lazy(), read.lazy(), **frames)


class TestCounts:
    def test_all(self) -> None:
        tables = make(
            [
                (1, 0, [1, 2, 3], [2]),
                (1, None, [4, 5], []),  # no click
                (2, 1, [1, 2], [2, 1]),  # no negative
                (3, None, [1, 6], None),  # not told
                (3, None, [1, None, 2], [9, 9, 1]),  # a null shown, and a click that was not
                (4, 1, [], [8, 7]),  # nothing shown, two clicks that were not
            ],
            items=[1, 2, 3, 7, 10],
            vectors={1: [0.0, 1.0], 2: [1.0, 1.0]},
        )
        assert ImpressionChecks.check(tables) == ImpressionStats(
            events="impressions",
            read=6,
            rows=6,
            users=4,
            items=6,
            first=datetime(2024, 1, 1),
            last=datetime(2024, 1, 1, 5),
            matched={"items": 0.5},
            repeated=0,
            unlabelled=1,
            without_click=1,
            without_negative=1,
            without_history=3,
            without_inview=1,
            with_click_not_shown=2,
            clicks_not_shown=3,
            null_inview=1,
            histories=2,
            items_shown=6,  # 1 to 6
            items_clicked=5,  # 1, 2, 7, 8, 9
            items_read=2,
            item_rows=5,
            items_shown_without_row=3,  # 4, 5, 6
            items_clicked_without_row=2,  # 8, 9
            items_read_without_row=0,
            vector_rows=2,
            vector_size=2,
        )

    def test_nothing_but_impressions(self) -> None:
        tables = make([(1, None, [1], None), (2, None, [1, 2], [1])], histories=[])
        stats = ImpressionChecks.check(tables)
        assert (stats.unlabelled, stats.histories, stats.items_read) == (1, 0, 0)
        assert stats.without_negative == 0
        assert stats.item_rows is stats.vector_rows is None

    def test_nulls_dropped(self) -> None:
        tables = make([(None, None, [1], [1]), (2, 0, [2, 3], [3])])
        stats = ImpressionChecks.check(tables, "drop")
        assert (stats.rows, stats.users, stats.null_ids_dropped) == (1, 1, 1)
        assert stats.items_shown == 2
        assert ImpressionChecks.drop_null_ids(tables).impressions.collect()[
            "user_id"
        ].to_list() == [2]


GOOD = [(1, 0, [1, 2], [2])]


class TestRefused:
    def test_no_impressions(self) -> None:
        with pytest.raises(DataError, match="Found none"):
            ImpressionChecks.check(make([]))

    @pytest.mark.parametrize("clicked", [[], None])
    def test_no_clicks(self, clicked: list[int] | None) -> None:
        with pytest.raises(DataError, match="None of 2 has any"):
            ImpressionChecks.check(make([(1, 0, [1], clicked), (2, None, [1, 2], [])]))

    def test_clicks_that_were_not_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(DataError, match="Of 2, 2 have a click on an item that was not shown"):
            ImpressionChecks.check(make([(1, 0, [1, 2], [9]), (2, None, [1, 2], [8])]))
        ImpressionChecks.check(make([(1, 0, [1, 2], [9]), (2, None, [1, 2], [1])]))
        assert "Of 2 impressions, 1 have a click on an item that was not shown" in caplog.text

    def test_repeated(self, caplog: pytest.LogCaptureFixture) -> None:
        def times(copies: int, rows: int) -> ImpressionTables:
            tables = make([(1, 0, [1, 2], [2])])
            frames = [tables.impressions] * (copies + 1)
            other = tables.impressions.with_columns(
                pl.int_range(2, rows + 2).implode().alias("user_id")
            )
            return replace(tables, impressions=pl.concat([*frames, other.explode("user_id")]))

        with pytest.raises(DataError, match=r"Of 12, 1 occur again .* a file is there twice"):
            ImpressionChecks.check(times(1, 10))
        assert ImpressionChecks.check(times(1, 200)).repeated == 1
        assert "Of 202 impressions, 1 occur again" in caplog.text
        assert ImpressionChecks.check(times(0, 10)).repeated == 0

    def test_null_user(self) -> None:
        with pytest.raises(DataError, match="1 have none"):
            ImpressionChecks.check(make([*GOOD, (None, None, [1], [1])]))

    @pytest.mark.parametrize(
        ("time", "message"), [(None, "1 are null"), (datetime(1901, 1, 1), "such as 1901-01-01")]
    )
    def test_times(self, time: datetime | None, message: str) -> None:
        tables = make(GOOD)
        frame = tables.impressions.with_columns(timestamp=pl.lit(time, pl.Datetime("us")))
        with pytest.raises(DataError, match=message):
            ImpressionChecks.check(replace(tables, impressions=frame))

    def test_time_of_another_type(self) -> None:
        tables = make(GOOD)
        frame = tables.impressions.with_columns(timestamp=pl.lit(3))
        with pytest.raises(DataError, match="should be a Datetime"):
            ImpressionChecks.check(replace(tables, impressions=frame))

    @pytest.mark.parametrize("name", ["items", "vectors"])
    def test_ids_twice(self, name: str) -> None:
        frame = pl.LazyFrame({"item_id": [1, 2, 1], "vector": [[0.0]] * 3})
        with pytest.raises(DataError, match=f"The {name} should have one row an id. 1 ids .* as 1"):
            ImpressionChecks.check(replace(make(GOOD), **{name: frame}))

    def test_item_without_id(self) -> None:
        with pytest.raises(DataError, match="1 rows have none"):
            ImpressionChecks.check(make(GOOD, items=[1, None]))

    def test_unlike_item_ids(self) -> None:
        with pytest.raises(DataError, match=r"`item_id` .*Int64 in inview.* String in items"):
            ImpressionChecks.check(make(GOOD, items=["1"]))

    def test_unlike_users(self) -> None:
        tables = make(GOOD)
        frame = tables.histories.with_columns(pl.col("user_id").cast(pl.String))
        with pytest.raises(DataError, match=r"`user_id` .*String in histories"):
            ImpressionChecks.check(replace(tables, histories=frame))

    def test_ids_that_are_no_lists(self) -> None:
        tables = make(GOOD)
        frame = tables.impressions.with_columns(clicked=pl.lit(1))
        with pytest.raises(DataError, match="`clicked` should hold lists"):
            ImpressionChecks.check(replace(tables, impressions=frame))

    @pytest.mark.parametrize("column", ["inview", "clicked", "history_id"])
    def test_missing_column(self, column: str) -> None:
        tables = make(GOOD)
        with pytest.raises(DataError, match=f"should have a column '{column}'"):
            ImpressionChecks.check(replace(tables, impressions=tables.impressions.drop(column)))

    def test_history_that_is_not_there(self) -> None:
        with pytest.raises(DataError, match=r"which has 2. Received: 2"):
            ImpressionChecks.check(make([(1, 2, [1], [1])]))

    def test_histories_out_of_order(self) -> None:
        tables = make(GOOD)
        with pytest.raises(DataError, match="should number the rows"):
            ImpressionChecks.check(replace(tables, histories=tables.histories.reverse()))

    def test_vectors_of_unlike_lengths(self) -> None:
        with pytest.raises(DataError, match="lengths from 1 to 2"):
            ImpressionChecks.check(make(GOOD, vectors={1: [0.0], 2: [1.0, 1.0]}))

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None])
    def test_vectors_that_are_not_finite(self, wrong: float | None) -> None:
        with pytest.raises(DataError, match="1 have a null, NaN or infinity"):
            ImpressionChecks.check(make(GOOD, vectors={1: [0.0, 2.0], 2: [1.0, wrong]}))
