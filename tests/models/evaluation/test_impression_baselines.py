from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.evaluation.baselines import (
    chance_of_entries,
    popularity_of_entries,
    recency_of_entries,
)
from towermill.models.metrics.impressions.ranking import impression_metrics


class TestPopularity:
    def test_clicks_of_the_item(self) -> None:
        items, counts = np.array([2, 0, 2, 1]), np.array([5, 0, 7])
        np.testing.assert_array_equal(popularity_of_entries(items, counts), [7, 5, 7, 0])
        assert items.tolist() == [2, 0, 2, 1]
        assert counts.tolist() == [5, 0, 7]

    @pytest.mark.parametrize("counts", [[[1, 2]], ["a"], 3, [1, np.nan]])
    def test_bad_counts(self, counts: Any) -> None:
        with pytest.raises(DataError, match="`item_counts` should be finite numbers"):
            popularity_of_entries([0], counts)

    @pytest.mark.parametrize("items", [[3], [-1], [0.5], [[0]]])
    def test_bad_items(self, items: Any) -> None:
        with pytest.raises(DataError, match="`items` should"):
            popularity_of_entries(items, [1, 2, 3])


class TestRecency:
    def test_newest_first(self) -> None:
        published = np.array(
            ["2023-05-02T07:00", "NaT", "2023-05-02T07:01", "2023-05-02T07:00"], "datetime64[us]"
        )
        got = recency_of_entries([2, 1, 0, 3, 2], published)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, [1, -1, 0, 0, 1])

    def test_numbers(self) -> None:
        np.testing.assert_array_equal(recency_of_entries([0, 1, 2], [3.5, np.nan, -2]), [1, -1, 0])
        nanoseconds = 1_683_000_000_000_000_000 + np.arange(3)  # one float64, all three
        np.testing.assert_array_equal(recency_of_entries([0, 1, 2], nanoseconds), [0, 1, 2])

    def test_errors(self) -> None:
        with pytest.raises(DataError, match="`published` should be datetime64 or numbers"):
            recency_of_entries([0], ["yesterday"])
        with pytest.raises(DataError, match=r"a time for one item at least. Received: none for 2"):
            recency_of_entries([0], [np.nan, np.nan])
        with pytest.raises(DataError, match="`items` should hold positions from 0 to 0"):
            recency_of_entries([1], [1.0])


class TestChance:
    offsets = np.array([0, 3, 3, 10, 12])

    def test_row_and_place_decide(self) -> None:
        whole = chance_of_entries(self.offsets, seed=5)
        assert len(np.unique(whole)) == 12
        parts = [
            chance_of_entries(self.offsets[:3], 5),
            chance_of_entries(self.offsets[2:] - 3, 5, first_row=2),
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        longer = chance_of_entries([0, 9, 9, 12], 5)
        np.testing.assert_array_equal(longer[:3], whole[:3])
        np.testing.assert_array_equal(longer[9:], whole[3:6])
        assert not (whole == chance_of_entries(self.offsets, seed=6)).any()

    def test_is_chance(self) -> None:
        offsets = np.arange(0, 80_001, 4)
        labels = np.arange(80_000) % 4 == 0
        got = [
            impression_metrics(chance_of_entries(offsets, seed), labels, offsets, k=[1])
            for seed in range(20)
        ]
        assert np.mean([one["auc"] for one in got]) == pytest.approx(0.5, abs=0.003)
        rates = np.array([one["hit_rate@1"] for one in got])
        assert rates.mean() == pytest.approx(0.25, abs=0.003)
        assert rates.std() == pytest.approx(np.sqrt(0.25 * 0.75 / 20_000), rel=0.6)

    def test_errors(self) -> None:
        with pytest.raises(TowermillError, match="`seed` should be an integer from 0"):
            chance_of_entries(self.offsets, -1)
        for offsets in ([0, 3, 2, 4], [], [[0, 1]], [1, 2]):
            with pytest.raises(DataError, match="`offsets` should"):
                chance_of_entries(offsets, 0)
