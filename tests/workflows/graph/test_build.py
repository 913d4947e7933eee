"""Numbers, lists, times and intervals through the NVTabular graph, against hand-made answers."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.graph.build import require_timestamp

NULL, UNKNOWN = 1, 2


class TestNumbers:
    def test_standardised_by_training_moments_and_missing_is_the_mean(
        self, mill: Any, interactions: Any, items: Any
    ) -> None:
        made = mill(interactions, {"item": {"price": "number"}}, items=items)
        # Training rows: 1, missing, 1, 3, 1; mean 1.5, sample deviation 1.
        assert made.train["price"].to_list() == pytest.approx([-0.5, 0, -0.5, 1.5, -0.5])
        assert made.test["price"].to_list() == [0, 0]
        assert made.items["price"].to_list() == pytest.approx([-0.5, 0, 1.5])

    def test_test_rows_do_not_move_the_mean(self, mill: Any, interactions: Any, items: Any) -> None:
        dear = items.with_columns(price=pl.Series([1.0, 1000.0, 3.0, 9.0]))
        frame = interactions.filter(~((pl.col("item_id") == 20) & (pl.col("split") == "train")))
        made = mill(frame, {"item": {"price": "number"}}, items=dear)
        # 1, 1, 3, 1 in training; the test split holds 1000.
        assert made.train["price"].to_list() == pytest.approx([-0.5, -0.5, 1.5, -0.5])
        assert made.test["price"].to_list() == pytest.approx([998.5, 0])

    def test_log(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"kind": "number", "log": True, "normalize": False}
        made = mill(interactions, {"item": {"price": feature}}, items=items)
        assert made.items["price"].to_list() == pytest.approx([math.log(2), 0, math.log(4)])

    def test_log_then_standardised(self, mill: Any, interactions: Any, items: Any) -> None:
        made = mill(interactions, {"item": {"price": {"kind": "number", "log": True}}}, items=items)
        # log 2 thrice and log 4 once: mean 1.25 log 2, deviation half of log 2.
        assert made.items["price"].to_list() == pytest.approx([-0.5, 0, 1.5])

    def test_constant_and_integer_columns(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = items.with_columns(one=pl.lit(7))
        made = mill(interactions, {"item": {"one": "number", "year": "number"}}, items=frame)
        assert made.items["one"].to_list() == [0, 0, 0]
        # 1, 2, 1, missing, 1: mean 1.25, deviation one half.
        assert made.items["year"].to_list() == pytest.approx([-0.5, 1.5, 0])

    def test_booleans(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = items.with_columns(sold=pl.Series([True, False, None, True]))
        made = mill(interactions, {"item": {"sold": "number"}}, items=frame)
        # 1, 0, 1, missing, 1: mean 0.75, deviation one half.
        assert made.items["sold"].to_list() == pytest.approx([0.5, -1.5, 0])
        assert made.items.schema["sold"] == pl.Float32


class TestIntervals:
    def test_missing_stays_missing(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"kind": "number", "boundaries": [1.5, 5]}
        made = mill(interactions, {"item": {"price": feature}}, items=items)
        # Below 1.5 thrice, between once: 3 and 4 by frequency.
        assert made.items["price"].to_list() == [3, NULL, 4]
        assert made.stats["vocabularies"]["price"] == 5
        assert made.items["raw_price"].to_list() == [1.0, None, 3.0]

    def test_interval_new_at_test_is_unknown(
        self, mill: Any, interactions: Any, items: Any
    ) -> None:
        frame = pl.concat(
            [interactions, pl.DataFrame({"user_id": "u1", "item_id": 40, "split": "test"})]
        )
        feature = {"kind": "number", "boundaries": [1.5, 5]}
        made = mill(frame, {"item": {"price": feature}}, items=items)
        assert made.test["price"].to_list() == [NULL, NULL, UNKNOWN]


class TestLists:
    @pytest.mark.parametrize("name", ["tags", "text_tags"])
    def test_column_and_text_alike(
        self, mill: Any, interactions: Any, items: Any, name: str
    ) -> None:
        made = mill(interactions, {"item": {name: "list"}}, items=items)
        # b stands in four training rows, a in three.
        assert made.items[name].to_list() == [[4, 3], [3], []]
        assert made.train[name].to_list() == [[4, 3], [3], [4, 3], [], [4, 3]]
        assert made.test[name].to_list() == [[3], []]
        assert made.items.schema[name] == pl.List(pl.Int32)

    def test_separator(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = items.with_columns(pl.col("text_tags").str.replace_all("|", ", ", literal=True))
        feature = {"kind": "list", "separator": ", "}
        made = mill(interactions, {"item": {"text_tags": feature}}, items=frame)
        assert made.items["text_tags"].to_list() == [[4, 3], [3], []]

    def test_null_lists(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = items.with_columns(pl.when(pl.col("item_id") != 10).then("tags").alias("tags"))
        made = mill(interactions, {"item": {"tags": "list"}}, items=frame)
        assert made.items["tags"].to_list() == [[], [3], []]
        assert made.items["raw_tags"].to_list() == [None, ["b"], []]

    def test_all_lists_empty_at_test(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = interactions.filter((pl.col("split") == "train") | (pl.col("item_id") == 99))
        made = mill(frame, {"item": {"tags": "list"}}, items=items)
        assert made.test["tags"].to_list() == [[]]
        assert made.test.schema["tags"] == pl.List(pl.Int32)

    def test_max_length_keeps_the_first(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"kind": "list", "max_length": 1}
        made = mill(interactions, {"item": {"tags": feature}}, items=items)
        assert made.items["tags"].to_list() == [[4], [3], []]

    def test_rare_values_are_unknown(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"kind": "list", "freq_threshold": 4}
        made = mill(interactions, {"item": {"tags": feature}}, items=items)
        assert made.items["tags"].to_list() == [[UNKNOWN, 3], [3], []]


class TestCategories:
    def test_frequency_decides_then_value(self, mill: Any, interactions: Any, items: Any) -> None:
        made = mill(interactions, {"item": {"genre": "category"}}, items=items)
        assert made.items["genre"].to_list() == [3, 4, 3]

    def test_max_size(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"max_size": 1}
        made = mill(interactions, {"item": {"genre": feature}}, items=items)
        assert made.items["genre"].to_list() == [3, UNKNOWN, 3]

    def test_buckets_of_rare_values(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"freq_threshold": 2, "num_buckets": 4}
        made = mill(interactions, {"item": {"genre": feature}}, items=items)
        # 2 … 5 are buckets, so x is 6; y, seen once, is hashed.
        assert made.items["genre"].to_list()[::2] == [6, 6]
        assert 2 <= made.items["genre"].to_list()[1] <= 5

    def test_buckets_beside_max_size(self, mill: Any, interactions: Any, items: Any) -> None:
        feature = {"max_size": 1, "num_buckets": 4}
        made = mill(interactions, {"item": {"genre": feature}}, items=items)
        assert made.items["genre"].to_list()[::2] == [6, 6]

    def test_booleans_and_missing(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = items.with_columns(sold=pl.Series([True, False, None, True]))
        made = mill(interactions, {"item": {"sold": "category"}}, items=frame)
        assert made.items["sold"].to_list() == [3, 4, NULL]


class TestTimes:
    @pytest.fixture
    def timed(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """From Monday, 1 January 2024, 05:00, every eight hours."""
        start = datetime(2024, 1, 1, 5)
        times = [start + timedelta(hours=8 * n) for n in range(7)]
        return interactions.with_columns(timestamp=pl.Series(times))

    def test_hour(self, mill: Any, timed: Any) -> None:
        made = mill(timed, {"context": {"h": "hour"}})
        # Training hours 5, 13, 21, 5, 13: 5 and 13 twice; test hours 21, 5.
        assert made.train["h"].to_list() == [3, 4, 5, 3, 4]
        assert made.test["h"].to_list() == [5, 3]

    def test_weekday(self, mill: Any, timed: Any) -> None:
        made = mill(timed, {"context": {"d": "weekday"}})
        # Monday thrice, Tuesday twice; in the test split Tuesday and Wednesday.
        assert made.train["d"].to_list() == [3, 3, 3, 4, 4]
        assert made.test["d"].to_list() == [4, UNKNOWN]

    def test_age_and_its_value_at_the_catalogue(self, mill: Any, timed: Any, items: Any) -> None:
        released = [date(2024, 1, 1), None, date(2023, 12, 31), None]
        frame = items.with_columns(released=pl.Series(released))
        feature = {"kind": "age", "normalize": False}
        made = mill(timed, {"item": {"released": feature}}, items=frame)
        hours = [5, None, 21, 24 + 29, 37]
        expected = [0 if h is None else h / 24 for h in hours]
        assert made.train["released"].to_list() == pytest.approx(expected)
        # As of the last training row, 2 January 13:00.
        assert made.stats["as_of"] == "2024-01-02T13:00:00"
        assert made.items["released"].to_list() == pytest.approx([37 / 24, 0, 61 / 24])

    def test_age_in_intervals(self, mill: Any, timed: Any, items: Any) -> None:
        frame = items.with_columns(
            released=pl.Series([date(2024, 1, 1), None, date(2023, 1, 1), None])
        )
        feature = {"kind": "age", "boundaries": [30]}
        made = mill(timed, {"item": {"released": feature}}, items=frame)
        assert made.items["released"].to_list() == [3, NULL, 4]


class TestParts:
    def test_require_timestamp(self) -> None:
        features: Any = {"context": {"h": Feature(kind="hour")}}
        require_timestamp(features, ["timestamp"])
        require_timestamp({"item": {"genre": Feature()}}, [])
        with pytest.raises(DataError, match=r"'h' of `features\.context` \(hour\)"):
            require_timestamp(features, ["user_id"])
