"""Bayesian personalised ranking."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf


class BayesianPersonalizedRanking(tf.keras.losses.Loss):  # type: ignore[misc]
    """Mean over negatives of −log σ(positive − negative) (Rendle et al., UAI 2009).

    Examples
    --------
    >>> logits = tf.constant([[0.0, 0.0]])
    >>> round(float(BayesianPersonalizedRanking()(tf.zeros_like(logits), logits)), 4)
    0.6931
    """

    kind: ClassVar[str] = "bpr"
    logq: ClassVar[bool] = False

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        positive, negative = y_pred[:, :1], y_pred[:, 1:]
        return tf.reduce_mean(tf.nn.softplus(negative - positive), axis=1)
