"""Losses over logits whose first column is the positive and whose others are negatives.

An accidental hit among the negatives has a logit of −10⁹, and so weighs nothing.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf


class BalancedBinaryCrossentropy(tf.keras.losses.Loss):  # type: ignore[misc]
    """log-sigmoid of the positive, plus the mean over its negatives.

    One positive weighs as much as all of its negatives together, however many are drawn.
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        positive, negative = y_pred[:, :1], y_pred[:, 1:]
        return tf.nn.softplus(-positive)[:, 0] + tf.reduce_mean(tf.nn.softplus(negative), axis=1)


class BayesianPersonalizedRanking(tf.keras.losses.Loss):  # type: ignore[misc]
    """Mean over negatives of −log σ(positive − negative) (Rendle et al., UAI 2009)."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        positive, negative = y_pred[:, :1], y_pred[:, 1:]
        return tf.reduce_mean(tf.nn.softplus(negative - positive), axis=1)


class SampledSoftmax(tf.keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of the positive among the sampled candidates (Bengio & Senécal, 2008)."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(y_pred, axis=1) - y_pred[:, 0]


LOSSES: Final = {
    "softmax": SampledSoftmax,
    "bce": BalancedBinaryCrossentropy,
    "bpr": BayesianPersonalizedRanking,
}


def softmax_over_slate(logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of the click, in column 0, among its candidates, ``(rows,)``.

    Columns of which `present` is False weigh nothing (Wu et al., EMNLP 2019).
    """
    logits = tf.where(present, logits, -1e9)
    return tf.reduce_logsumexp(logits, axis=1) - logits[:, 0]


def bce_over_slate(logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Return the mean binary cross-entropy over the candidates that are `present`, ``(rows,)``."""
    weights = tf.cast(present, logits.dtype)
    right = tf.nn.softplus(-logits[:, :1])
    terms = tf.concat([right, tf.nn.softplus(logits[:, 1:])], axis=1) * weights
    return tf.reduce_sum(terms, axis=1) / tf.reduce_sum(weights, axis=1)


IMPRESSION_LOSSES: Final = {"softmax": softmax_over_slate, "bce": bce_over_slate}
