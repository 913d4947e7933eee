from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from towermill.errors import DataError, TowermillError
from towermill.models.metrics.impressions import ranking as module
from towermill.models.metrics.impressions.ranking import impression_metrics, per_impression

CUTS = (1, 2, 5, 10)


def flat(*impressions: tuple[list[float], list[int]]) -> tuple[np.ndarray, ...]:
    lengths = [len(scores) for scores, _ in impressions]
    scores = np.array([score for own, _ in impressions for score in own], np.float64)
    labels = np.array([label for _, own in impressions for label in own], bool)
    return scores, labels, np.cumsum([0, *lengths])


def ragged(
    number: int, seed: int, longest: int = 40, most: int = 4, levels: int = 12
) -> tuple[np.ndarray, ...]:
    """Half of the impressions with many ties, one to `most` clicks, one entry at least without."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest, number)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    scores, labels = rng.normal(size=offsets[-1]), np.zeros(offsets[-1], bool)
    for start, stop in itertools.pairwise(offsets):
        clicks = rng.integers(1, min(most, stop - start - 1) + 1)
        labels[start + rng.choice(stop - start, clicks, replace=False)] = True
        if rng.random() < 0.5:
            scores[start:stop] = rng.integers(0, levels, stop - start)
    return scores, labels, offsets


def slow(scores: list[float], labels: list[int], k: int) -> dict[str, float]:
    """Mean over every order of the entries that agrees with the scores: the definitions."""
    found: list[tuple[float, float, float]] = []
    clicks = sum(labels)
    for order in itertools.permutations(range(len(scores))):
        ranked = [scores[entry] for entry in order]
        if ranked != sorted(scores, reverse=True):
            continue
        ranks = [place for place, entry in enumerate(order, start=1) if labels[entry]]
        gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k)
        ideal = sum(1 / math.log2(place + 1) for place in range(1, min(clicks, k) + 1))
        reciprocal = sum(1 / rank for rank in ranks) / clicks
        found.append((reciprocal, gain / ideal, float(min(ranks) <= k)))
    mean = np.mean(found, axis=0)
    return {"mrr": mean[0], f"ndcg@{k}": mean[1], f"hit_rate@{k}": mean[2]}


class TestByHand:
    def test_one_click(self) -> None:
        got = per_impression(*flat(([0.9, 0.5, 0.7, 0.1], [0, 0, 1, 0])), k=(1, 2))
        expected = {
            "auc": 2 / 3,
            "mrr": 1 / 2,
            "ndcg@1": 0,
            "ndcg@2": 1 / math.log2(3),
            "hit_rate@1": 0,
            "hit_rate@2": 1,
        }
        assert set(got) == set(expected)
        for name, value in expected.items():
            assert got[name].dtype == np.float64
            np.testing.assert_allclose(got[name], [value], err_msg=name)

    def test_several_clicks(self) -> None:
        """Ranks 1 and 3 of 4: MIND's MRR is their mean reciprocal, not that of the first."""
        got = per_impression(*flat(([4, 3, 2, 1], [1, 0, 1, 0])), k=(2, 3))
        assert got["mrr"] == pytest.approx((1 + 1 / 3) / 2)
        assert got["auc"] == pytest.approx(3 / 4)
        ideal = 1 + 1 / math.log2(3)
        assert got["ndcg@2"] == pytest.approx(1 / ideal)
        assert got["ndcg@3"] == pytest.approx((1 + 1 / 2) / ideal)
        assert got["hit_rate@2"] == 1

    def test_all_tied(self) -> None:
        """Two of four clicked, all with one score: what a random order is worth."""
        got = per_impression(*flat(([1, 1, 1, 1], [0, 1, 0, 1])), k=(1, 2, 3))
        assert got["auc"] == 0.5
        assert got["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
        assert got["ndcg@1"] == pytest.approx(0.5)
        assert got["hit_rate@1"] == pytest.approx(1 / 2)
        assert got["hit_rate@2"] == pytest.approx(1 - 1 / 6)
        assert got["hit_rate@3"] == pytest.approx(1)

    def test_undefined(self) -> None:
        got = per_impression(*flat(([1, 2], [0, 0]), ([], []), ([3], [1]), ([1, 2], [1, 1])))
        np.testing.assert_array_equal(got["auc"], [np.nan] * 4)
        for name in ("mrr", "ndcg@5", "hit_rate@5"):
            np.testing.assert_array_equal(np.isnan(got[name]), [True, True, False, False], name)
        assert got["ndcg@10"][2:] == pytest.approx([1, 1])
        assert got["mrr"][2:] == pytest.approx([1, 3 / 4])

    def test_means_leave_the_undefined_out(self) -> None:
        data = flat(([2, 1], [1, 0]), ([2, 1], [0, 0]), ([2, 1], [0, 1]), ([5], [1]))
        got = impression_metrics(*data, k=[1])
        assert got["auc"] == 0.5
        assert got["mrr"] == pytest.approx((1 + 1 / 2 + 1) / 3)
        assert got["hit_rate@1"] == pytest.approx(2 / 3)


class TestAgainstOthers:
    def test_scikit_learn(self) -> None:
        scores, labels, offsets = ragged(1_000, seed=1)  # 10,000 in `benchmarks`
        got = per_impression(scores, labels, offsets, k=(5, 10))
        expected = []
        for start, stop in itertools.pairwise(offsets):
            label, score = labels[start:stop], scores[start:stop]
            ndcg = [ndcg_score([label], [score], k=k) for k in (5, 10)]
            expected.append((roc_auc_score(label, score), *ndcg))
        for name, values in zip(("auc", "ndcg@5", "ndcg@10"), np.transpose(expected), strict=True):
            np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-9, err_msg=name)

    @pytest.mark.parametrize("k", [1, 2, 3, 7])
    def test_every_order_of_the_tied(self, k: int) -> None:
        rng = np.random.default_rng(k)
        for _ in range(25):
            length = rng.integers(1, 7)
            labels = rng.integers(0, 2, length)
            labels[0] = 1
            scores = rng.integers(0, 3, length).astype(float)
            got = per_impression(scores, labels, [0, length], k=[k])
            for name, value in slow(scores.tolist(), labels.tolist(), k).items():
                assert got[name][0] == pytest.approx(value, abs=1e-12), name


class TestOrderAndBlocks:
    @pytest.mark.parametrize("most", [3, 30])
    def test_order_of_entries_does_not_matter(self, most: int) -> None:
        scores, labels, offsets = ragged(300, seed=2, most=most, levels=4)
        row = np.repeat(np.arange(300), np.diff(offsets))
        order = np.lexsort((np.random.default_rng(0).random(len(row)), row))
        ours = per_impression(scores, labels, offsets, CUTS)
        shuffled = per_impression(scores[order], labels[order], offsets, CUTS)
        for name, values in ours.items():
            # Several clicks are added up in another order.
            np.testing.assert_allclose(values, shuffled[name], rtol=1e-14, err_msg=name)

    def test_order_of_impressions_does_not_matter(self) -> None:
        scores, labels, offsets = ragged(50, seed=3)
        order = np.random.default_rng(1).permutation(50)
        parts = [slice(offsets[i], offsets[i + 1]) for i in order]
        moved = (
            np.concatenate([scores[part] for part in parts]),
            np.concatenate([labels[part] for part in parts]),
            np.concatenate([[0], np.cumsum(np.diff(offsets)[order])]),
        )
        ours, theirs = per_impression(scores, labels, offsets), per_impression(*moved)
        for name, values in ours.items():
            np.testing.assert_array_equal(values[order], theirs[name], err_msg=name)

    @pytest.mark.parametrize("entries", [1, 7, 100])
    @pytest.mark.parametrize("rounds", [0, 2])
    def test_blocks_and_sorting(
        self, entries: int, rounds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scores, labels, offsets = ragged(200, seed=4, most=20, levels=5)
        labels[offsets[5] : offsets[6]] = False
        offsets = np.insert(offsets, 9, [offsets[9]] * 3)  # impressions without entries
        ours = per_impression(scores, labels, offsets, CUTS)
        monkeypatch.setattr(module, "_BLOCK", entries)
        monkeypatch.setattr(module, "_ROUNDS", rounds)
        theirs = per_impression(scores, labels, offsets, CUTS)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)

    def test_inputs_stay_as_they_were(self) -> None:
        data = ragged(20, seed=5)
        before = [array.copy() for array in data]
        per_impression(*data)
        for array, old in zip(data, before, strict=True):
            np.testing.assert_array_equal(array, old)

    @pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
    def test_dtypes(self, dtype: Any) -> None:
        """Unsigned scores are compared, never negated."""
        scores, labels, offsets = ragged(50, seed=6)
        coarse = np.abs(scores * 5).astype(dtype)
        ours = per_impression(coarse, labels.astype(np.int8), offsets.astype(np.int32))
        theirs = per_impression(coarse.astype(np.float64), labels, offsets)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)

    def test_no_impressions(self) -> None:
        assert per_impression([], [], [0])["auc"].shape == (0,)


class TestErrors:
    good = flat(([2, 1, 0], [1, 0, 0]), ([2, 1], [0, 1]))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_scores_not_finite(self, bad: float) -> None:
        scores = self.good[0].copy()
        scores[[1, 4]] = bad
        with pytest.raises(DataError, match=r"`scores` should be finite. Received: 2 of 5"):
            per_impression(scores, *self.good[1:])

    @pytest.mark.parametrize("offsets", [[0, 3], [1, 3, 5], [0, 6, 5], [[0, 5]], [0.0, 5.0], []])
    def test_offsets(self, offsets: Any) -> None:
        with pytest.raises(DataError, match="`offsets` should"):
            per_impression(*self.good[:2], offsets)

    def test_labels(self) -> None:
        scores, labels, offsets = self.good
        with pytest.raises(DataError, match="4 labels, 5 scores"):
            per_impression(scores, labels[1:], offsets)
        with pytest.raises(DataError, match="`labels` should be 0 or 1"):
            per_impression(scores, labels * 2, offsets)
        with pytest.raises(DataError, match="`labels` should be bool"):
            per_impression(scores, labels * 1.0, offsets)
        with pytest.raises(DataError, match="`scores` should be real"):
            per_impression(scores.astype(str), labels, offsets)

    @pytest.mark.parametrize("k", [[], [0], [5, -1], 5, [1.5]])
    def test_cuts(self, k: Any) -> None:
        with pytest.raises(TowermillError, match="`k` should be"):
            per_impression(*self.good, k=k)

    def test_nothing_counts(self) -> None:
        with pytest.raises(DataError, match=r"both a click and an entry without one, so .* `auc`"):
            impression_metrics(*flat(([1], [1]), ([2], [1])))
        with pytest.raises(DataError, match="None of 1 impressions"):
            impression_metrics(*flat(([1, 2], [0, 0])))
