"""Softmax cross-entropy of the positive among sampled candidates."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf


class SampledSoftmax(tf.keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of the positive among the sampled candidates (Bengio & Senécal, 2008).

    Examples
    --------
    >>> logits = tf.constant([[0.0, 0.0]])
    >>> round(float(SampledSoftmax()(tf.zeros_like(logits), logits)), 4)
    0.6931
    """

    kind: ClassVar[str] = "softmax"
    logq: ClassVar[bool] = True

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(y_pred, axis=1) - y_pred[:, 0]
