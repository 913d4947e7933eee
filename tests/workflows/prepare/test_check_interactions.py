"""What is refused, and what is counted, before any long work."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.prepare.stats import InteractionStats
from towermill.workflows.tables import Tables

WHEN = datetime(2024, 1, 1)


def make(
    user_ids: list[Any], item_ids: list[Any], times: list[Any] | None = None, **sides: list[Any]
) -> Tables:
    frame = pl.DataFrame(
        {"user_id": user_ids, "item_id": item_ids}, schema_overrides={"user_id": pl.Int64}
    )
    if times is not None:
        frame = frame.with_columns(pl.Series("timestamp", times, dtype=pl.Datetime("us")))
    side = {
        name: pl.LazyFrame({f"{name[:-1]}_id": ids}, schema_overrides={"user_id": pl.Int64})
        for name, ids in sides.items()
    }
    return Tables(frame.lazy(), items=side.get("items"), users=side.get("users"))


class TestCounts:
    def test_all(self) -> None:
        tables = make(
            [1, 1, 2, 2, 2],
            ["a", "b", "c", "c", "d"],
            [datetime(2024, 1, day) for day in (5, 1, 9, 2, 3)],
            items=["a", "c", "z"],
            users=[2, 1],
        )
        assert InteractionChecks.check(tables) == InteractionStats(
            events="interactions",
            read=5,
            rows=5,
            users=2,
            items=4,
            first=datetime(2024, 1, 1),
            last=datetime(2024, 1, 9),
            matched={"items": 0.6, "users": 1.0},
            item_rows=3,
            item_rows_dropped=0,
            items_without_row=2,
            interactions_without_item_row=2,
            user_rows=2,
            user_rows_dropped=0,
            users_without_row=0,
            interactions_without_user_row=0,
        )

    def test_interactions_alone(self) -> None:
        found = InteractionChecks.check(make([1, 2], ["a", "b"]))
        assert found == InteractionStats(events="interactions", read=2, rows=2, users=2, items=2)

    def test_order_of_rows_does_not_matter(self) -> None:
        tables = make([1, 2, 3], ["a", "b", "b"], [WHEN] * 3, items=["b"])
        shuffled = Tables(tables.interactions.reverse(), items=tables.items)
        assert InteractionChecks.check(tables) == InteractionChecks.check(shuffled)


class TestNullIds:
    TABLES = make([1, 2, None, None, 2], ["a", "c", "b", None, None], [WHEN] * 5, users=[1, None])

    def test_error_has_the_counts(self) -> None:
        with pytest.raises(DataError, match="Of 5 rows, 2 have no user_id and 2 no item_id"):
            InteractionChecks.check(self.TABLES)

    def test_drop_counts_and_counts_the_rest_without_them(self) -> None:
        stats = InteractionChecks.check(self.TABLES, "drop")
        assert (stats.null_user_ids, stats.null_item_ids) == (2, 2)
        assert (stats.null_ids_dropped, stats.rows, stats.users) == (3, 2, 2)
        assert (stats.user_rows, stats.user_rows_dropped) == (1, 1)
        assert stats.dropped == {"interactions": {"null id": 3}, "users": {"null id": 1}}
        assert (stats.read, stats.rows) == (5, 2)

    def test_rows_that_reading_dropped_are_counted(self) -> None:
        tables = replace(self.TABLES, dropped={"interactions": {"unreadable value": 4}})
        stats = InteractionChecks.check(tables, "drop")
        assert stats.dropped["interactions"] == {"unreadable value": 4, "null id": 3}
        assert (stats.read, stats.rows) == (9, 2)

    def test_drop_null_ids(self) -> None:
        out = InteractionChecks.drop_null_ids(self.TABLES)
        assert out.interactions.collect().rows() == [(1, "a", WHEN), (2, "c", WHEN)]
        assert out.users is not None
        assert out.users.collect().rows() == [(1,)]
        assert out.items is None
        assert self.TABLES.interactions.collect().height == 5

    def test_nan(self) -> None:
        frame = pl.LazyFrame({"user_id": [1.0, float("nan"), None], "item_id": [1, 2, 3]})
        with pytest.raises(DataError, match="Of 3 rows, 2 have no user_id and 0 no item_id"):
            InteractionChecks.check(Tables(frame))
        assert InteractionChecks.drop_null_ids(Tables(frame)).interactions.collect().height == 1

    def test_nothing_else(self) -> None:
        with pytest.raises(DataError, match="None of 2 has both"):
            InteractionChecks.check(make([None, 1], ["a", None]), "drop")

    def test_side(self) -> None:
        with pytest.raises(DataError, match="1 of 2 rows have none"):
            InteractionChecks.check(make([1], ["a"], items=["a", None]))


class TestErrors:
    def test_empty(self) -> None:
        with pytest.raises(DataError, match="Found none"):
            InteractionChecks.check(make([], []))

    @pytest.mark.parametrize(
        ("sides", "message"),
        [
            (
                {"items": ["a", "b", "b", "a", "c"]},
                "items should have one row an id. 2 ids .*'a', 'b'",
            ),
            ({"users": [1, 1]}, "users should have one row an id. 1 ids"),
        ],
    )
    def test_duplicates(self, sides: dict[str, list[Any]], message: str) -> None:
        with pytest.raises(DataError, match=message):
            InteractionChecks.check(make([1], ["a"], **sides))

    def test_unlike_types(self) -> None:
        with pytest.raises(DataError, match="String in the interactions and Int64 in the items"):
            InteractionChecks.check(make([1], ["a"], items=[1]))

    def test_no_id_column(self) -> None:
        with pytest.raises(DataError, match="should have a column 'item_id'"):
            InteractionChecks.check(Tables(pl.LazyFrame({"user_id": [1]})))


class TestTimes:
    @pytest.mark.parametrize("year", [1969, 2101, 9999])
    def test_outside(self, year: int) -> None:
        with pytest.raises(DataError, match=f"1 lie outside, such as {year}-06-01"):
            InteractionChecks.check(make([1, 1], ["a", "b"], [WHEN, datetime(year, 6, 1)]))

    def test_just_inside(self) -> None:
        times = [datetime(1970, 1, 1), datetime(2100, 12, 31, 23, 59)]
        assert InteractionChecks.check(make([1, 2], ["a", "b"], times)).rows == 2

    def test_null_names_a_row(self) -> None:
        with pytest.raises(DataError, match=r"1 are null.*'user_id': 1, 'item_id': 'b'"):
            InteractionChecks.check(make([1, 1], ["a", "b"], [WHEN, None]))

    def test_a_row_that_is_dropped_does_not_count(self) -> None:
        tables = make([1, 2, None], ["a", "b", "b"], [WHEN, WHEN, None])
        assert InteractionChecks.check(tables, "drop").rows == 2

    def test_type(self) -> None:
        frame = pl.LazyFrame({"user_id": [1], "item_id": [1], "timestamp": [5]})
        with pytest.raises(DataError, match=r"should be a Datetime\. Its type is Int64"):
            InteractionChecks.check(Tables(frame))


class TestTooFew:
    @pytest.mark.parametrize(("users", "items"), [([1, 1], ["a", "b"]), ([1, 2], ["a", "a"])])
    def test_a_single_user_or_item(self, users: list[Any], items: list[Any]) -> None:
        with pytest.raises(DataError, match=r"at least 2 users and 2 items\. All 2 rows have"):
            InteractionChecks.check(make(users, items))


class TestMatches:
    def test_less_than_half_is_refused_with_examples_of_both_sides(self) -> None:
        tables = make([1, 2] * 10, list("abcdefghij") * 2, items=list("abuvwxyz"))
        with pytest.raises(DataError, match="4 of 20 do") as error:
            InteractionChecks.check(tables)
        assert "'c', 'd', 'e'; ids of the items that no row has: 'u', 'v', 'w'" in str(error.value)

    @pytest.mark.parametrize(
        ("log", "table", "remedy"),
        [
            (["07", "08", "09"], ["7", "8", "9"], r"as integers, 3 would: set `source\.types"),
            (["7.0", "8.0", "9.0"], ["7", "8", "9"], r"as integers, 3 would"),
            (["a", "b ", "c "], ["a", "b", "c"], r"normalize_ids: \[strip\]"),
            (["u7", "u8", "u9"], ["U7", "U8", "U9"], r"normalize_ids: \[lower\]"),
            (["x", "y", "z"], ["1", "2", "3"], "right file and column"),
        ],
    )
    def test_remedies(self, log: list[Any], table: list[Any], remedy: str) -> None:
        with pytest.raises(DataError, match=remedy):
            InteractionChecks.check(make([1, 2, 3], log, items=table))

    def test_other_losses_are_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        stats = InteractionChecks.check(make([1, 2, 3], ["a", "b", "c"], items=["a", "b", "z"]))
        assert stats.interactions_without_item_row == 1
        assert "Of 3 rows, 1 have no row in the items for their item_id" in caplog.text
