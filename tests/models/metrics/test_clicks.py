"""Metrics over all entries, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from towermill.errors import DataError
from towermill.models.metrics.clicks import auroc, best_threshold, f1_score


def entries(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(500) < 0.15
    scores = rng.normal(size=500) + labels
    return (np.round(scores, 1) if ties else scores), labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
class TestAgainstScikitLearn:
    def test_auroc(self, seed: int, ties: bool) -> None:
        scores, labels = entries(seed, ties=ties)
        expected = sklearn.metrics.roc_auc_score(labels, scores)
        assert auroc(scores, labels) == pytest.approx(expected, abs=1e-12)

    def test_best_threshold_has_the_best_f1(self, seed: int, ties: bool) -> None:
        scores, labels = entries(seed, ties=ties)
        found = f1_score(scores, labels, best_threshold(scores, labels))
        every = [sklearn.metrics.f1_score(labels, scores >= t) for t in np.unique(scores)]
        assert found == pytest.approx(max(every), abs=1e-12)


class TestEdges:
    def test_perfect_and_reversed(self) -> None:
        scores, labels = np.array([3.0, 2.0, 1.0]), np.array([1, 1, 0])
        assert auroc(scores, labels) == 1
        assert auroc(-scores, labels) == 0
        assert best_threshold(scores, labels) == 2
        assert f1_score(scores, labels, 2.0) == 1

    def test_all_scores_alike(self) -> None:
        assert auroc(np.zeros(4), [1, 0, 0, 1]) == 0.5
        assert f1_score(np.zeros(4), [1, 0, 0, 1], 0.0) == pytest.approx(2 / 3)

    def test_order_does_not_count(self) -> None:
        scores, labels = entries(9, ties=True)
        order = np.random.default_rng(0).permutation(len(scores))
        assert auroc(scores[order], labels[order]) == auroc(scores, labels)

    @pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
    def test_one_class(self, labels: list[int]) -> None:
        with pytest.raises(DataError, match="both clicked and not"):
            auroc([0.1, 0.2], labels)

    @pytest.mark.parametrize(
        ("scores", "labels"), [([0.1], [0, 1]), ([np.nan, 1.0], [0, 1]), ([0.1, 0.2], [0, 2])]
    )
    def test_refused(self, scores: list[float], labels: list[int]) -> None:
        with pytest.raises(DataError, match="Received"):
            auroc(scores, labels)
