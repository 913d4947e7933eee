"""Losses against slow formulas, and at the ends of what a float holds."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import tensorflow as tf

from towermill.models.architectures.two_tower import ACCIDENTAL_HIT
from towermill.models.objectives.losses import LOSSES
from towermill.models.objectives.slate_losses import SLATE_LOSSES


def slow(name: str, logits: list[float]) -> float:
    """One row's loss, term by term."""
    positive, negatives = logits[0], logits[1:]
    if name == "softmax":
        return -log(exp(positive) / sum(exp(x) for x in logits))
    if name == "bce":
        right = -log(1 / (1 + exp(-positive)))
        wrong = [-log(1 - 1 / (1 + exp(-x))) for x in negatives]
        return right + sum(wrong) / len(wrong)
    return sum(-log(1 / (1 + exp(x - positive))) for x in negatives) / len(negatives)


def loss_of(name: str, logits: object) -> tf.Tensor:
    tensor = tf.constant(logits, tf.float32)
    return LOSSES.get(name)()(tf.zeros_like(tensor), tensor)


@pytest.mark.parametrize("name", LOSSES.names())
class TestLosses:
    @pytest.mark.parametrize("negatives", [1, 5])
    def test_is_the_mean_of_a_slow_formula(self, name: str, negatives: int, on_device: str) -> None:
        logits = np.random.default_rng(0).normal(0, 2, size=(7, 1 + negatives))
        expected = np.mean([slow(name, row) for row in logits.tolist()])
        assert float(loss_of(name, logits)) == pytest.approx(expected, rel=1e-5)

    def test_order_of_negatives_does_not_matter(self, name: str) -> None:
        one, other = loss_of(name, [[1.0, 2.0, -1.0]]), loss_of(name, [[1.0, -1.0, 2.0]])
        assert float(one) == pytest.approx(float(other))

    def test_falls_as_the_positive_rises(self, name: str) -> None:
        losses = [float(loss_of(name, [[x, 0.5, -0.5]])) for x in (-2, 0, 2)]
        assert losses == sorted(losses, reverse=True)

    @pytest.mark.parametrize(
        "logits",
        [
            [[1e4, -1e4]],
            [[-1e4, 1e4]],
            [[80.0, ACCIDENTAL_HIT]],
            [[-80.0, ACCIDENTAL_HIT, 3.0]],
            [[0.0, ACCIDENTAL_HIT, ACCIDENTAL_HIT]],
        ],
    )
    def test_loss_and_gradient_stay_finite(self, name: str, logits: list[list[float]]) -> None:
        tensor = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            loss = LOSSES.get(name)()(tf.zeros_like(tensor), tensor)
        gradient = tape.gradient(loss, tensor).numpy()
        assert np.isfinite(float(loss))
        assert np.isfinite(gradient).all()
        assert (gradient[np.array(logits) == ACCIDENTAL_HIT] == 0).all()

    def test_only_accidental_hits_leave_nothing_to_learn(self, name: str) -> None:
        # Of BCE the positive's own half remains: log 2 at a logit of 0.
        expected = log(2) if name == "bce" else 0.0
        assert float(loss_of(name, [[0.0, ACCIDENTAL_HIT]])) == pytest.approx(expected)


def slow_over_slate(name: str, logits: list[float]) -> float:
    """One row's loss over the candidates that there are."""
    if name == "softmax":
        return slow("softmax", logits)
    terms = [-log(1 / (1 + exp(-logits[0])))] + [-log(1 - 1 / (1 + exp(-x))) for x in logits[1:]]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("name", SLATE_LOSSES.names())
class TestImpressionLosses:
    PRESENT = ([1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0])

    def test_equals_a_slow_formula(self, name: str, on_device: str) -> None:
        logits = np.random.default_rng(0).normal(0, 2, size=(4, 4))
        present = np.array(self.PRESENT, bool)
        found = SLATE_LOSSES.get(name)()(tf.constant(logits, tf.float32), tf.constant(present))
        rows = [row[there].tolist() for row, there in zip(logits, present, strict=True)]
        expected = [slow_over_slate(name, row) for row in rows]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("size", [1.0, 1e4])
    def test_what_is_not_there_weighs_nothing(self, name: str, size: float) -> None:
        logits = tf.constant(np.random.default_rng(1).normal(0, size, size=(4, 4)), tf.float32)
        present = np.array(self.PRESENT, bool)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = SLATE_LOSSES.get(name)()(logits, tf.constant(present))
            total = tf.reduce_sum(losses)
        gradient = tape.gradient(total, logits).numpy()
        assert np.isfinite(losses).all()
        assert np.isfinite(gradient).all()
        assert (gradient[~present] == 0).all()
        other = tf.where(present, logits, 77.0)
        np.testing.assert_array_equal(SLATE_LOSSES.get(name)()(other, tf.constant(present)), losses)

    def test_learns_to_raise_the_click(self, name: str) -> None:
        present = tf.constant([[True, True, True]])
        rows = [tf.constant([[x, 0.5, -0.5]]) for x in (-2.0, 0.0, 2.0)]
        losses = [float(SLATE_LOSSES.get(name)()(row, present)[0]) for row in rows]
        assert losses == sorted(losses, reverse=True)
