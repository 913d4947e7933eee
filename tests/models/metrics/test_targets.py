"""Metrics of predicted probabilities: against scikit-learn, and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from towermill.errors import DataError
from towermill.models.metrics.targets import (
    calibration,
    expected_calibration_error,
    grouped_auc,
    log_loss,
)

RNG = np.random.default_rng(0)
#: Ten distinct predictions, so that many are equal.
PREDICTED = RNG.integers(1, 10, 2000) / 10
LABELS = RNG.random(2000) < PREDICTED**2


class TestLogLoss:
    def test_is_scikit_learns(self) -> None:
        expected = sklearn.metrics.log_loss(LABELS, PREDICTED)
        assert log_loss(PREDICTED, LABELS) == pytest.approx(expected, rel=1e-12)

    def test_certain_and_wrong_is_finite(self) -> None:
        assert 30 < log_loss([0.0], [1]) < 40

    @pytest.mark.parametrize("predicted", [[0.5], [0.5, 1.5], [0.5, np.nan], [[0.5], [0.5]]])
    def test_refuses(self, predicted: list[float]) -> None:
        with pytest.raises(DataError, match="`predicted`"):
            log_loss(predicted, [0, 1])


class TestCalibration:
    def test_is_mean_over_rate(self) -> None:
        found = calibration(PREDICTED, LABELS)
        assert found == pytest.approx(PREDICTED.mean() / LABELS.mean())
        assert found > 1.2

    def test_error_is_that_of_each_distinct_prediction(self) -> None:
        gaps = [
            abs((PREDICTED - LABELS)[value == PREDICTED].sum()) for value in np.unique(PREDICTED)
        ]
        found = expected_calibration_error(PREDICTED, LABELS, bins=1000)
        assert found == pytest.approx(sum(gaps) / len(LABELS))

    def test_error_of_true_probabilities_is_small(self) -> None:
        rng = np.random.default_rng(1)
        chance = rng.beta(1, 20, 200_000)
        labels = rng.random(200_000) < chance
        assert expected_calibration_error(chance, labels) < 0.002
        halved = expected_calibration_error(chance / 2, labels)
        assert halved == pytest.approx(chance.mean() / 2, abs=0.002)


class TestGroupedAUC:
    def test_is_the_weighted_mean_of_scikit_learns(self) -> None:
        groups = RNG.integers(0, 200, 2000)
        total, weight = 0.0, 0
        for group in np.unique(groups):
            own = groups == group
            if 0 < LABELS[own].sum() < own.sum():
                total += own.sum() * sklearn.metrics.roc_auc_score(LABELS[own], PREDICTED[own])
                weight += own.sum()
        assert weight < 2000  # some groups have no AUC
        assert grouped_auc(PREDICTED, LABELS, groups) == pytest.approx(total / weight, rel=1e-12)

    def test_does_not_depend_on_the_order_of_rows(self) -> None:
        groups, order = RNG.integers(0, 50, 2000), RNG.permutation(2000)
        assert grouped_auc(PREDICTED, LABELS, groups) == pytest.approx(
            grouped_auc(PREDICTED[order], LABELS[order], groups[order]), rel=1e-12
        )

    def test_none_where_no_group_has_both(self) -> None:
        assert grouped_auc([0.1, 0.2, 0.3], [1, 1, 0], [0, 0, 1]) is None
