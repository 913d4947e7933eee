"""Binary cross-entropy of the positive and its negatives."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf


class BalancedBinaryCrossentropy(tf.keras.losses.Loss):  # type: ignore[misc]
    """Minus log-sigmoid of the positive, plus the mean over its negatives.

    One positive weighs as much as all of its negatives together, however many are drawn.

    Examples
    --------
    >>> logits = tf.constant([[0.0, 0.0]])
    >>> round(float(BalancedBinaryCrossentropy()(tf.zeros_like(logits), logits)), 4)
    1.3863
    """

    kind: ClassVar[str] = "bce"
    logq: ClassVar[bool] = False

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        positive, negative = y_pred[:, :1], y_pred[:, 1:]
        return tf.nn.softplus(-positive)[:, 0] + tf.reduce_mean(tf.nn.softplus(negative), axis=1)
