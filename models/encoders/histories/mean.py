"""The mean of a history's items."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.columns import FIRST_ID
from towermill.models.encoders.histories.base import HistoryEncoder


class MeanHistory(HistoryEncoder):
    """The sum of the items' embeddings, over their number to the power `exponent`."""

    kind: ClassVar[str] = "mean"

    def call(self, ids: tf.Tensor, weights: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, dim)``; zeros for an empty history."""
        total = self._sum_of_kept(ids, weights) if training else self._sum(ids, weights)
        count = tf.reduce_sum(tf.cast(ids >= FIRST_ID, tf.float32), axis=1, keepdims=True)
        return total / tf.maximum(count, 1.0) ** self.config.exponent

    def _sum(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Sum by plain gathers, which every runtime has."""
        return tf.reduce_sum(self.vectors(ids) * weights[..., None], axis=1)

    def _sum_of_kept(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Sum by a sparse matrix product, which touches only the items kept."""
        places = tf.where(weights > 0)
        items = tf.cast(tf.gather_nd(ids, places), tf.int64)
        table = self.table.table.embeddings
        kept = tf.SparseTensor(
            tf.stack([places[:, 0], items], axis=1),
            tf.gather_nd(weights, places),
            [tf.shape(ids, tf.int64)[0], table.shape[0]],
        )
        return tf.sparse.sparse_dense_matmul(kept, table)
