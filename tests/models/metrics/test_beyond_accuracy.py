from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.metrics import beyond_accuracy as module
from towermill.models.metrics.beyond_accuracy import per_slate, slate_metrics, top_of_slates


def ragged(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half of the slates with ties, some empty; no item twice in one."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 30, number)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = np.concatenate([rng.choice(50, n, replace=False) for n in lengths])
    scores = rng.normal(size=len(items))
    half = np.repeat(rng.random(number) < 0.5, lengths)
    scores[half] = np.round(scores[half])
    return scores, items, offsets


class TestTopOfSlates:
    def test_by_hand(self) -> None:
        got = top_of_slates([0.1, 0.9, 0.5, 3, 7, 5], [8, 6, 4, 2, 0, 9], [0, 3, 3, 4, 6], 2)
        assert got.dtype == np.int32
        assert got.tolist() == [[6, 4], [-1, -1], [2, -1], [0, 9]]

    @pytest.mark.parametrize("cells", [1, 64, 2**18])
    @pytest.mark.parametrize("k", [1, 4, 40])
    def test_equals_a_slow_loop(self, k: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_CELLS", cells)
        scores, items, offsets = ragged(200, seed=1)
        order = [int(module.philox(0, item, 0)) for item in range(50)]
        expected = np.full((200, k), -1)
        for row, (start, stop) in enumerate(itertools.pairwise(offsets)):
            entries = sorted(range(start, stop), key=lambda e: (-scores[e], order[items[e]]))[:k]
            expected[row, : len(entries)] = items[entries]
        np.testing.assert_array_equal(top_of_slates(scores, items, offsets, k), expected)

    def test_order_of_entries_does_not_matter(self) -> None:
        scores, items, offsets = ragged(200, seed=2)
        before = scores.copy(), items.copy(), offsets.copy()
        row = np.repeat(np.arange(200), np.diff(offsets))
        order = np.lexsort((np.random.default_rng(0).random(len(row)), row))
        np.testing.assert_array_equal(
            top_of_slates(scores, items, offsets, 5),
            top_of_slates(scores[order], items[order], offsets, 5),
        )
        for array, old in zip((scores, items, offsets), before, strict=True):
            np.testing.assert_array_equal(array, old)

    def test_ties_are_not_in_catalogue_order(self) -> None:
        """Item 0 is the most clicked one: among equals it should come first now and then only."""
        rng = np.random.default_rng(3)
        items = np.concatenate([rng.choice(1000, 10, replace=False) for _ in range(500)])
        first = top_of_slates(np.ones(5000), items, np.arange(0, 5001, 10), 1)[:, 0]
        lowest = items.reshape(500, 10).min(axis=1)
        assert 0.05 < np.mean(first == lowest) < 0.15

    def test_unsigned_scores(self) -> None:
        got = top_of_slates(np.array([3, 200, 0], np.uint8), [0, 1, 2], [0, 3], 3)
        assert got.tolist() == [[1, 0, 2]]

    def test_errors(self) -> None:
        with pytest.raises(DataError, match=r"`scores` should be finite. Received: 1 of 2"):
            top_of_slates([1, np.nan], [0, 1], [0, 2], 1)
        with pytest.raises(DataError, match="1 items, 2 scores"):
            top_of_slates([1, 2], [0], [0, 2], 1)
        with pytest.raises(DataError, match="`items` should hold positions from 0"):
            top_of_slates([1], [-1], [0, 1], 1)
        with pytest.raises(DataError, match="`offsets` should"):
            top_of_slates([1], [0], [0, 2], 1)
        with pytest.raises(TowermillError, match="`k` should be a positive integer"):
            top_of_slates([1], [0], [0, 1], 0)


class TestSlateMetrics:
    top = np.array([[0, 1, 2], [1, 3, -1], [-1, -1, -1]], np.int32)
    counts = np.array([8, 4, 4, 0])
    vectors = np.array([[2.0, 0], [0, 3], [-5, 0], [0, 0.5]])

    def test_by_hand(self) -> None:
        got = per_slate(self.top, (1, 2, 3), item_counts=self.counts, vectors=self.vectors)
        expected: dict[str, list[float]] = {
            "novelty@1": [1, 2, np.nan],  # shares 1/2, 1/4, 1/4, and 1/16 for the one without
            "novelty@2": [1.5, 3, np.nan],
            "novelty@3": [5 / 3, 3, np.nan],
            "diversity@1": [np.nan] * 3,
            "diversity@2": [1, 0, np.nan],
            "diversity@3": [(1 + 2 + 1) / 3, 0, np.nan],
        }
        assert set(got) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(got[name], values, atol=1e-15, err_msg=name)
        shown = [0, 1, 2, 4, 1, 3, 3]
        means = slate_metrics(self.top, shown, (1, 3), item_counts=self.counts)
        assert means == {
            "coverage@1": 2 / 5,
            "coverage@3": 4 / 5,
            "novelty@1": pytest.approx(1.5),
            "novelty@3": pytest.approx((5 / 3 + 3) / 2),
        }
        assert slate_metrics(self.top, shown, (1,), vectors=self.vectors) == {"coverage@1": 2 / 5}

    def test_diversity_pair_by_pair(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BYTES", 1)
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(50, 7)).astype(np.float32)
        vectors[3] = 0  # says nothing: left out
        top = top_of_slates(*ragged(60, seed=4), 6)
        got = per_slate(top, [6], vectors=vectors)["diversity@6"]
        for row, value in zip(top, got, strict=True):
            unit = [vectors[i] / np.linalg.norm(vectors[i]) for i in row if i >= 0 and i != 3]
            pairs = [1 - a @ b for a, b in itertools.combinations(unit, 2)]
            np.testing.assert_allclose(value, np.mean(pairs) if pairs else np.nan, atol=1e-6)

    def test_errors(self) -> None:
        bad: Any
        for bad in (self.vectors[0], self.vectors * np.nan, self.vectors.astype(str)):
            with pytest.raises(DataError, match="`vectors` should be finite numbers"):
                per_slate(self.top, [1], vectors=bad)
        with pytest.raises(DataError, match="below the 3 of `vectors`"):
            per_slate(self.top, [1], vectors=self.vectors[:3])
        with pytest.raises(DataError, match="below the 2 of `item_counts`"):
            per_slate(self.top, [1], item_counts=[1, 2])
        with pytest.raises(TowermillError, match="`k` should be at most 3"):
            per_slate(self.top, [4], item_counts=self.counts)
        with pytest.raises(DataError, match=r"shown items only. Received: 1 others"):
            slate_metrics(self.top, [0, 1, 2], [3])
        with pytest.raises(DataError, match="`shown` should hold at least one item"):
            slate_metrics(self.top, np.empty(0, int), [3])
