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
        owners, count = packing.owners, packing.sequences
        logits = tf.cast(tf.matmul(self.project(values), self.query)[:, 0], tf.float32)
        greatest = tf.math.unsorted_segment_max(logits, owners, count)
        powers = tf.exp(logits - tf.gather(tf.stop_gradient(greatest), owners))
        total = tf.math.unsorted_segment_sum(powers, owners, count)
        weights = tf.cast(powers / tf.gather(total, owners), values.dtype)
        return tf.math.unsorted_segment_sum(values * weights[:, None], owners, count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
