"""The user encoder of NAML."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing


class AttentiveReader(tf.keras.layers.Layer):  # type: ignore[misc]
    """Additive attention over the articles read (Wu et al., IJCAI 2019).

    Parameters
    ----------
    heads, head_dim
        Not needed: the vector is as wide as those of the articles.
    attention_dim
        See `AdditiveAttention`.
    dropout
        Of the articles' vectors.
    """

    kind: ClassVar[str] = "additive_attention"

    def __init__(
        self, *, heads: int, head_dim: int, attention_dim: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pooling = AdditiveAttention(attention_dim)
        self.dropout = tf.keras.layers.Dropout(dropout)

    def call(self, vectors: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return ``(users, dim)`` for ``(users, history_size, dim)`` and the mask of its first two.

        A user who has read nothing has the vector 0.
        """
        packed = packing(mask, cut=training is not False)
        return self.pooling(self.dropout(packed.pack(vectors), training=training), packed)
