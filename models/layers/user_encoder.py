"""The user encoder of NRMS: the vectors of what was read to that of the reader."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing
from towermill.models.layers.self_attention import SelfAttention


class UserEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Self-attention and additive attention over a reading history (Wu et al., EMNLP 2019).

    Parameters
    ----------
    heads, head_dim, attention_dim
        Of `SelfAttention` and `AdditiveAttention`.
    """

    def __init__(self, *, heads: int, head_dim: int, attention_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = SelfAttention(heads, head_dim)
        self.pooling = AdditiveAttention(attention_dim)

    def call(self, vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return ``(users, dim)`` for ``(users, history_size, dim)`` and the mask of its first two.

        A user who has read nothing has the vector 0.
        """
        packed = packing(mask)
        return self.pooling(self.attention(packed.pack(vectors), packed), packed)
