"""What `models` reads of processed impressions: answers worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from news_worlds import IDS, Row, articles, impressions, write_impressions

from towermill.errors import SchemaError
from towermill.models.data.impressions import (
    AGE,
    AGE_HOURS,
    ImpressionData,
    Slates,
    age_buckets,
    padded,
)

ROWS: list[Row] = [
    (3, 1, 0, [3, 4, 5], [4]),
    (2, 0, 1, [], []),
    (4, 2, 2, [5, 3], [3, 5]),
    (3, 3, 3, [4, 2, 3, 6], [6, 2]),
    (5, 1, 4, [3, 4], []),
]
HISTORIES = [[4], [3, 2, 4], [6, 5, 4, 3]]


def moments(*hours: float) -> Any:
    return [
        np.datetime64("2023-05-01T12:00", "us") + np.timedelta64(int(h * 60), "m") for h in hours
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImpressionData:
    items = articles(
        [[7, 8, 9], [], [9] * 6, [7]],
        category=[3, 4, 2, 1],
        published=[0, -1, None, 5],
        vectors=[[1, 0], [0, 0], [3, 4], [0, 2]],
    )
    path = tmp_path_factory.mktemp("impressions")
    splits = {"train": impressions(ROWS), "test": impressions(ROWS[:2], first=500)}
    return ImpressionData(write_impressions(path, splits, items, HISTORIES))


class TestSlates:
    def test_stand_flat(self, data: ImpressionData) -> None:
        slates = data.slates("train")
        assert len(slates) == 5
        assert slates.impression_ids.to_list() == [100, 101, 102, 103, 104]
        assert slates.users.tolist() == [3, 2, 4, 3, 5]
        assert slates.histories.tolist() == [1, 0, 2, 3, 1]
        assert slates.times.tolist() == [t.item() for t in moments(0, 1, 2, 3, 4)]
        assert slates.items.tolist() == [3, 4, 5, 5, 3, 4, 2, 3, 6, 3, 4]
        assert slates.offsets.tolist() == [0, 3, 3, 5, 9, 11]
        assert np.flatnonzero(slates.clicked).tolist() == [1, 3, 4, 6, 8]
        assert slates.rows.tolist() == [0, 0, 0, 2, 2, 3, 3, 3, 3, 4, 4]
        types = [slates.users, slates.histories, slates.items, slates.offsets, slates.clicked]
        assert [a.dtype.name for a in types] == ["int32", "int32", "int32", "int64", "bool"]

    def test_rankable_have_both(self, data: ImpressionData) -> None:
        assert data.slates("train").rankable.tolist() == [True, False, False, True, False]

    def test_some_rows(self, data: ImpressionData) -> None:
        slates = data.slates("train", 2, 2)
        assert slates.impression_ids.to_list() == [102, 103]
        assert slates.offsets.tolist() == [0, 2, 6]
        assert np.flatnonzero(slates.clicked).tolist() == [0, 1, 3, 5]
        nothing = data.slates("train", 9)
        assert (len(nothing), nothing.offsets.tolist(), len(nothing.items)) == (0, [0], 0)

    def test_where(self, data: ImpressionData) -> None:
        slates = data.slates("train")
        before = slates.items.copy()
        some = slates.where(np.array([False, True, False, True, True]))
        assert some.impression_ids.to_list() == [101, 103, 104]
        assert (some.users.tolist(), some.histories.tolist()) == ([2, 3, 5], [0, 3, 1])
        assert some.offsets.tolist() == [0, 0, 4, 6]
        assert some.items.tolist() == [4, 2, 3, 6, 3, 4]
        assert some.clicked.tolist() == [False, True, False, True, False, False]
        assert len(slates.where(np.zeros(5, bool))) == 0
        np.testing.assert_array_equal(slates.items, before)

    def test_sample_is_always_the_same(self, data: ImpressionData) -> None:
        slates = data.slates("train")
        one, same = slates.sample(3), slates.sample(3)
        assert len(one) == 3
        assert one.impression_ids.to_list() == same.impression_ids.to_list()
        assert one.impression_ids.is_sorted()
        for limit in (0, 5, 6):
            assert slates.sample(limit) is slates


class TestPadded:
    def test_first_values_then_zeros(self) -> None:
        lists = pl.Series([[1, 2, 3, 4], [], None, [5]], dtype=IDS)
        found = padded(lists, 3)
        assert found.tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0], [5, 0, 0]]
        assert found.dtype == np.int32

    @pytest.mark.parametrize("lists", [[], [[], None]])
    def test_of_nothing(self, lists: Any) -> None:
        assert padded(pl.Series(lists, dtype=IDS), 2).tolist() == [[0, 0]] * len(lists)


class TestAges:
    def test_an_interval_holds_its_upper_end(self) -> None:
        minute = np.timedelta64(1, "m")
        ends = [np.timedelta64(int(h * 60), "m") for h in AGE_HOURS]
        assert age_buckets(np.array(ends)).tolist() == list(range(1, 15))
        assert age_buckets(np.array([e + minute for e in ends])).tolist() == list(range(2, 16))

    def test_the_future_is_new_and_nat_unknown(self) -> None:
        ages = np.array([-5, 0, 10**6, "NaT"], "timedelta64[h]")
        found = age_buckets(ages)
        assert found.tolist() == [1, 1, 15, 0]
        assert found.dtype == np.int32

    def test_of_slates(self, data: ImpressionData) -> None:
        # Articles 3, 4 and 6 came out at noon, an hour before, five hours after; 5 is not known,
        # and 2 is no article.
        slates = data.slates("train")
        assert data.ages(slates).tolist() == [1, 2, 0, 0, 3, 5, 0, 4, 1, 5, 6]

    def test_at_the_end_of_the_data(self, data: ImpressionData) -> None:
        assert data.as_of == moments(4)[0]
        assert data.items[AGE].to_list() == [5, 6, 0, 1]
        assert data.item_schema[AGE].int_domain.max == 15

    def test_without_moments(self, data: ImpressionData, tmp_path: Path) -> None:
        path = write_impressions(
            tmp_path, {"train": impressions(ROWS)}, articles([[3]] * 4), HISTORIES
        )
        other = ImpressionData(path)
        assert other.published is None
        assert AGE not in other.item_schema.column_names
        with pytest.raises(SchemaError, match=r"Set `model.age: false`"):
            other.ages(other.slates("train"))

    def test_no_moment_is_known(self, tmp_path: Path) -> None:
        items = articles([[3]] * 4, published=[None] * 4)
        data = ImpressionData(
            write_impressions(tmp_path, {"train": impressions(ROWS)}, items, HISTORIES)
        )
        assert data.published is None
        assert data.items[AGE].to_list() == [0] * 4


class TestCatalogue:
    def test_by_encoded_id(self, data: ImpressionData) -> None:
        empty = [0] * 5
        assert data.tokens.tolist() == [
            empty, empty, empty, [7, 8, 9, 0, 0], empty, [9] * 5, [7, 0, 0, 0, 0],
        ]  # fmt: skip
        assert data.categories("category").tolist() == [0, 1, 2, 3, 4, 2, 1]
        assert data.id_counts.tolist() == [0, 0, 0, 1, 1, 1, 1]
        assert data.vectors.tolist() == [[0, 0]] * 3 + [[1, 0], [0, 0], [3, 4], [0, 2]]
        assert data.published is not None
        assert np.isnat(data.published).tolist() == [True] * 3 + [False, False, True, False]

    def test_histories(self, data: ImpressionData) -> None:
        assert data.histories.tolist() == [[0] * 4, [4, 0, 0, 0], [3, 2, 4, 0], [6, 5, 4, 3]]
        frame = data.query_frame(np.array([7, 8, 7]), np.array([3, 0, 3]))
        assert frame["user_id"].to_list() == [7, 8, 7]
        assert data.query_schema.column_names == ["history"]
        assert frame["history"].to_list() == [[6, 5, 4, 3], [], [6, 5, 4, 3]]
        assert (data.history_size, data.title_size) == (4, 5)

    def test_rows_of_no_article(self, data: ImpressionData) -> None:
        blank = data.items_by_id.head(3)
        assert data.items_by_id[3:].equals(data.items)
        assert blank["item_id"].to_list() == blank["category"].to_list() == [0, 1, 2]
        assert blank["tokens"].null_count() == 3

    def test_how_often_shown(self, data: ImpressionData) -> None:
        shown = data.scan("train").collect()["inview"].explode().to_list()
        assert data.shown_counts.tolist() == [shown.count(i) for i in range(7)]
        assert 0 < data.click_rate < 1

    def test_readers(self, data: ImpressionData) -> None:
        assert data.query_sample(2)["history"].to_list() == [[6, 5, 4, 3], [3, 2, 4]]

    def test_what_is_missing_is_named(self, data: ImpressionData, tmp_path: Path) -> None:
        path = write_impressions(
            tmp_path, {"train": impressions(ROWS)}, articles([[3]] * 4), HISTORIES
        )
        with pytest.raises(SchemaError, match=r"Set `text.vectors`"):
            _ = ImpressionData(path).vectors
        with pytest.raises(SchemaError, match="needs the list 'nothing'"):
            data.list_column("nothing")


def test_slates_of_hand(data: ImpressionData) -> None:
    """Where clicks are not told nothing can be ranked."""
    slates = data.slates("train")
    untold = Slates(**{**vars(slates), "clicked": np.zeros(11, bool)})
    assert not untold.rankable.any()
