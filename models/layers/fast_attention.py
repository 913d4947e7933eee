"""Fastformer's additive attention over packed sequences."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from towermill.models.layers.packing import Packing


class FastAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """Each position is mixed with two summaries of its sequence, at a cost linear in its length.

    For each head, attention pools the queries to one query, and the products of keys and it to one
    key; a position becomes a linear map of the product of its value and that key, plus its query.
    Values are the queries, as in the authors' code (Wu et al., "Fastformer: additive attention can
    be all you need", 2021).

    Parameters
    ----------
    heads, head_dim
        Their product is the width of the output.
    """

    def __init__(self, heads: int, head_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.head_dim = heads, head_dim
        width = heads * head_dim
        self.query = tf.keras.layers.Dense(width)
        self.key = tf.keras.layers.Dense(width)
        self.of_query = tf.keras.layers.Dense(heads)
        self.of_key = tf.keras.layers.Dense(heads)
        self.transform = tf.keras.layers.Dense(width)

    def call(self, values: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return ``(positions, heads × head_dim)`` for packed ``(positions, dim)``."""
        query, key = self.query(values), self.key(values)
        product = key * self._pooled(query, self.of_query(query), packing)
        return self.transform(query * self._pooled(product, self.of_key(product), packing)) + query

    def _pooled(self, values: tf.Tensor, logits: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return, at each position, the weighted mean of its sequence's `values`, head by head."""
        hidden = tf.where(packing.mask, 0.0, -1e9)[..., None]
        padded = tf.cast(packing.pad(logits), tf.float32) / math.sqrt(self.head_dim)
        weights = tf.cast(tf.nn.softmax(padded + hidden, axis=1), values.dtype)
        shape = tf.concat([tf.shape(packing.mask), [self.heads, self.head_dim]], 0)
        split = tf.reshape(packing.pad(values), shape)
        means = tf.reduce_sum(split * weights[..., None], axis=1)
        joined = tf.reshape(means, [-1, self.heads * self.head_dim])
        return tf.gather(joined, packing.owners)
