"""Softmax cross-entropy within a slate."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf


class SlateSoftmax:
    """Cross-entropy of the click among its candidates (Wu et al., EMNLP 2019).

    Columns of which `present` is False weigh nothing.

    Examples
    --------
    >>> loss = SlateSoftmax()(tf.zeros((1, 3)), tf.constant([[True, True, False]]))
    >>> round(float(loss[0]), 4)
    0.6931
    """

    kind: ClassVar[str] = "softmax"

    def __call__(self, logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        logits = tf.where(present, logits, -1e9)
        return tf.reduce_logsumexp(logits, axis=1) - logits[:, 0]
