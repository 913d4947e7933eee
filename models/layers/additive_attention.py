"""Additive attention: a sequence pooled into one vector."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from towermill.models.layers.packing import Packing


class AdditiveAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """The mean of a sequence's positions, weighted by softmax(qᵀ tanh(W x + b)).

    As in NRMS (Wu et al., EMNLP 2019; Bahdanau et al., 2015). A sequence without a real position
    is pooled into zeros.

    Parameters
    ----------
    units
        Length of q.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.project = tf.keras.layers.Dense(self.units, activation="tanh", dtype=self.dtype_policy)
        self.query = self.add_weight("query", (self.units, 1), initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, values: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return ``(sequences, dim)`` for packed ``(positions, dim)``."""
        logits = tf.cast(tf.matmul(self.project(values), self.query)[:, 0], tf.float32)
        if packing.fixed:
            return _pooled_padded(values, logits, packing)
        owners, count = packing.owners, packing.sequences
        greatest = tf.math.unsorted_segment_max(logits, owners, count)
        powers = tf.exp(logits - tf.gather(tf.stop_gradient(greatest), owners))
        total = tf.math.unsorted_segment_sum(powers, owners, count)
        weights = tf.cast(powers / tf.gather(total, owners), values.dtype)
        return tf.math.unsorted_segment_sum(values * weights[:, None], owners, count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _pooled_padded(values: tf.Tensor, logits: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Pool by sums along the padded sequences, of all dimensions and of the weights at once.

    Of segments, other runtimes make matrix products, whose rounding depends on the whole batch; and
    that of a sum along the last axis, on where in memory it lies.
    """
    padded = packing.pad(logits[:, None])[..., 0]
    hidden = tf.where(packing.mask, padded, padded.dtype.min)
    powers = tf.exp(hidden - tf.reduce_max(hidden, axis=1, keepdims=True))
    powers *= tf.cast(packing.mask, powers.dtype)
    rows = packing.pad(tf.cast(values, powers.dtype))
    ones = tf.ones_like(rows[..., :1])
    sums = tf.reduce_sum(tf.concat([rows, ones], axis=2) * powers[..., None], axis=1)
    total = sums[:, -1:]
    return tf.cast(sums[:, :-1] / tf.where(total > 0, total, 1.0), values.dtype)
