"""Binary cross-entropy within a slate."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf


class SlateBinaryCrossentropy:
    """Mean binary cross-entropy over the candidates that are `present`.

    Examples
    --------
    >>> loss = SlateBinaryCrossentropy()(tf.zeros((1, 3)), tf.constant([[True, True, False]]))
    >>> round(float(loss[0]), 4)
    0.6931
    """

    kind: ClassVar[str] = "bce"

    def __call__(self, logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(present, logits.dtype)
        right = tf.nn.softplus(-logits[:, :1])
        terms = tf.concat([right, tf.nn.softplus(logits[:, 1:])], axis=1) * weights
        return tf.reduce_sum(terms, axis=1) / tf.reduce_sum(weights, axis=1)
