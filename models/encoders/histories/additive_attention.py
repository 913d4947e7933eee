"""The mean of a history's items, weighted by learned attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf

from towermill.columns import FIRST_ID
from towermill.models.encoders.histories.base import HistoryEncoder
from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig


class AttentiveHistory(HistoryEncoder):
    """Additive attention over the items' embeddings, times their number to ``1 - exponent``."""

    kind: ClassVar[str] = "additive_attention"

    def __init__(
        self, table: mm.EmbeddingTable, config: HistoryConfig, length: int, seed: int
    ) -> None:
        super().__init__(table, config, length, seed)
        self.attention = AdditiveAttention(config.embedding_dim)

    def call(self, ids: tf.Tensor, weights: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, dim)``; zeros for an empty history."""
        # One row more, of one item: attention is never without a position.
        ids = tf.pad(ids, [[0, 1], [0, 0]], constant_values=FIRST_ID)
        kept = tf.pad(weights, [[0, 1], [0, 0]], constant_values=1.0) > 0
        packed = packing(kept, cut=training is not False)
        pooled = self.attention(packed.pack(self.vectors(ids)), packed)[:-1]
        count = tf.reduce_sum(tf.cast(ids[:-1] >= FIRST_ID, tf.float32), axis=1, keepdims=True)
        return tf.cast(pooled, tf.float32) * tf.maximum(count, 1.0) ** (1 - self.config.exponent)
