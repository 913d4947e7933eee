"""The user encoder of NRMS: the vectors of the articles read to that of the reader."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing
from towermill.models.layers.self_attention import SelfAttention


class UserEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Self-attention and additive attention over a reading history (Wu et al., EMNLP 2019).

    Parameters
    ----------
    heads, head_dim, attention_dim
        See `SelfAttention` and `AdditiveAttention`.
    dropout
        After the self-attention.
    """

    kind: ClassVar[str] = "self_attention"

    def __init__(
        self, *, heads: int, head_dim: int, attention_dim: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.attention = self.attention_of(heads, head_dim)
        self.pooling = AdditiveAttention(attention_dim)
        self.dropout = tf.keras.layers.Dropout(dropout)

    def attention_of(self, heads: int, head_dim: int) -> Any:
        """Return the layer that mixes the articles read."""
        # Starts as a mean of the articles read, in the same space as the candidates.
        # From a random matrix the pairing of the two has to be learned before any word can be.
        return SelfAttention(heads, head_dim, plain_values=True)

    def call(self, vectors: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return ``(users, dim)`` for ``(users, history_size, dim)`` and the mask of its first two.

        A user who has read nothing has the vector 0.
        """
        packed = packing(mask, cut=training is not False)
        values = self.attention(packed.pack(vectors), packed)
        return self.pooling(self.dropout(values, training=training), packed)
