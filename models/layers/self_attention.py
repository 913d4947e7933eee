"""Multi-head self-attention over packed sequences."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from towermill.models.layers.packing import Packing


class SelfAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """Each position becomes a mix of its sequence's (Vaswani et al., 2017), as NRMS has it.

    Scaled dot products, no positions, no output projection: the heads are joined side by side
    (Wu et al., EMNLP 2019). The softmax is taken in float32, over real positions alone.

    Parameters
    ----------
    heads, head_dim
        Their product is the width of the output.
    plain_values
        Begin with values that are the positions themselves (of the width of the output), so that
        the untrained layer takes means of them; else with a random matrix as queries and keys.
    """

    def __init__(
        self, heads: int, head_dim: int, *, plain_values: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.head_dim, self.plain_values = heads, head_dim, plain_values
        self.projection = tf.keras.layers.Dense(
            3 * heads * head_dim, use_bias=False, kernel_initializer=_QueryKeyValue(plain_values)
        )

    @property
    def kernel(self) -> tf.Variable:
        """Of queries, keys and values side by side, ``(dim, 3 × heads × head_dim)``."""
        return self.projection.kernel

    def call(self, values: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return ``(positions, heads × head_dim)`` for packed ``(positions, dim)``."""
        return self.mix(packing.pad(self.projection(values)), packing)

    def mix(self, projected: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return ``(positions, heads × head_dim)`` for what `projection` made of a padded batch.

        Padding positions have no effect.
        """
        shape = tf.shape(projected)
        split = tf.reshape(projected, [shape[0], shape[1], 3, self.heads, self.head_dim])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        logits = tf.matmul(query, key, transpose_b=True) / math.sqrt(self.head_dim)
        hidden = tf.where(packing.mask, 0.0, -1e9)[:, None, None, :]
        weights = tf.nn.softmax(tf.cast(logits, tf.float32) + hidden)
        mixed = tf.matmul(tf.cast(weights, value.dtype), value)
        joined = tf.reshape(
            tf.transpose(mixed, [0, 2, 1, 3]), [shape[0], shape[1], self.heads * self.head_dim]
        )
        return packing.pack(joined)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "heads": self.heads,
            "head_dim": self.head_dim,
            "plain_values": self.plain_values,
        }


class _QueryKeyValue(tf.keras.initializers.Initializer):  # type: ignore[misc]
    """The three matrices side by side, each Glorot-uniform; the last the identity if so asked."""

    def __init__(self, plain_values: bool) -> None:
        self.plain_values = plain_values

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        part = (shape[0], shape[1] // 3)
        blocks = [tf.keras.initializers.GlorotUniform()(part, dtype) for _ in range(3)]
        if self.plain_values:
            blocks[-1] = tf.eye(*part, dtype=dtype)
        return tf.concat(blocks, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {"plain_values": self.plain_values}
