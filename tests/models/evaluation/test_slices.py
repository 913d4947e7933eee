from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.evaluation.slices import clicked_ages, report_slices, slices


def members(masks: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}


class TestSlices:
    def test_users(self) -> None:
        known = np.array([True, False, True])
        assert members(slices(known=known)) == {"user:known": [0, 2], "user:cold": [1]}
        found = members(slices(shown_before=known))
        assert found == {"click:known": [0, 2], "click:new": [1]}
        assert known.tolist() == [True, False, True]

    def test_histories(self) -> None:
        assert members(slices(history_lengths=[0, 1, 4, 5, 19, 20, 300])) == {
            "history:none": [0],
            "history:1-4": [1, 2],
            "history:5-19": [3, 4],
            "history:20+": [5, 6],
        }
        assert members(slices(history_lengths=[0, 2, 3, 4], history_bins=[2, 3, 4])) == {
            "history:0-1": [0],
            "history:2": [1],
            "history:3": [2],
            "history:4+": [3],
        }
        assert members(slices(history_lengths=[0, 1], history_bins=[1])) == {
            "history:none": [0],
            "history:1+": [1],
        }

    def test_ages(self) -> None:
        assert members(slices(ages=[-1, 1.99, 2, 6, 23, 24, 72, np.nan])) == {
            "age:<2h": [0, 1],
            "age:2-6h": [2],
            "age:6-24h": [3, 4],
            "age:24-72h": [5],
            "age:72h+": [6],
        }

    def test_what_is_not_known_is_left_out(self) -> None:
        assert slices() == {}
        assert len(slices(known=[True], history_lengths=[3], ages=[0.5])) == 2 + 4 + 5

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"known": [1, 0]}, "`known` should be bool"),
            ({"history_lengths": [0.5]}, "`history_lengths` should be integers"),
            ({"history_lengths": [3, -1]}, r"should be from 0. Received: -1"),
            ({"ages": ["new"]}, "`ages` should be hours"),
            ({"history_lengths": [1], "history_bins": [0, 5]}, "`history_bins` should ascend"),
            ({"ages": [1], "age_bins": [5, 5]}, "`age_bins` should ascend"),
            ({"ages": [1], "age_bins": []}, "`age_bins` should ascend"),
            ({"known": [True], "ages": [1, 2]}, "all have one number of impressions"),
        ],
    )
    def test_errors(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TowermillError, match=message):
            slices(**options)


class TestClickedAges:
    times = np.array(["2023-05-02T12:00", "2023-05-02T13:30", "2023-05-03T00:00"], "datetime64[us]")
    published = np.array(["2023-05-02T11:00", "NaT", "2023-05-01T12:00"], "datetime64[s]")

    def test_youngest_clicked(self) -> None:
        items, offsets = [0, 2, 1, 2, 0, 1], [0, 3, 5, 6]
        got = clicked_ages(self.times, items, [1, 1, 1, 1, 0, 1], offsets, self.published)
        np.testing.assert_allclose(got, [1, 25.5, np.nan])
        got = clicked_ages(self.times, items, [0, 0, 1, 0, 0, 0], offsets, self.published)
        np.testing.assert_allclose(got, [np.nan] * 3)

    def test_order_of_entries_does_not_matter(self) -> None:
        got = clicked_ages(self.times[:1], [2, 1, 0], [1, 1, 1], [0, 3], self.published)
        np.testing.assert_allclose(got, [1])

    def test_errors(self) -> None:
        with pytest.raises(DataError, match=r"`times` should be 1-D datetime64. Received: int64"):
            clicked_ages([1], [0], [1], [0, 1], self.published)
        with pytest.raises(DataError, match="`items` should hold positions from 0 to 2"):
            clicked_ages(self.times[:1], [3], [1], [0, 1], self.published)
        with pytest.raises(DataError, match="1 labels, 1 items; 3 times, 1 rows"):
            clicked_ages(self.times, [0], [1], [0, 1], self.published)


class TestReport:
    def test_by_hand(self) -> None:
        values = {"auc": np.array([0.5, np.nan, 1, np.nan]), "mrr": [0.25, 0.75, 1, np.nan]}
        masks = {
            "all": np.array([True] * 4),
            "second": np.array([False, True, False, False]),
            "last": np.array([False, False, False, True]),
            "empty": np.zeros(4, bool),
        }
        assert report_slices(values, masks) == {
            "all": {"impressions": 3, "metrics": {"auc": 0.75, "mrr": 2 / 3}},
            "second": {"impressions": 1, "metrics": {"mrr": 0.75}},
        }

    def test_errors(self) -> None:
        with pytest.raises(DataError, match="should be of one shape"):
            report_slices({"auc": [1, 2]}, {"all": [True]})
        with pytest.raises(DataError, match=r"`masks\['all'\]` should be bool"):
            report_slices({"auc": [1, 2]}, {"all": [1, 0]})
