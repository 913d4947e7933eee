"""Merlin embedding tables: their first values, and rows looked up."""

from __future__ import annotations

import zlib
from typing import Any

import merlin.models.tf as mm
import tensorflow as tf

from towermill.models.data.tensors import padded


def lookup(table: mm.EmbeddingTable, ids: tf.Tensor) -> tf.Tensor:
    """Return ``(rows, dim)`` for ids ``(rows,)``; stock Merlin drops the axis of a batch of one."""
    return tf.reshape(table(ids), [-1, table.dim])


def first_values(column: str, seed: int) -> Any:
    """Return the initializer of a column's table, whose draws are its own."""
    own = (zlib.crc32(column.encode()) + seed) % 2**31
    return tf.keras.initializers.RandomNormal(stddev=0.05, seed=own)


def mean_penalty(model: Any, rows: tf.Tensor) -> tf.Tensor:
    """Return the L2 that a model's embeddings added in its last call, over the `rows` of that call.

    Merlin sums it over the rows of a batch; a mean is independent of the batch size.
    """
    terms = [tf.cast(term, tf.float32) for term in model.losses]
    return tf.add_n(terms or [0.0]) / tf.cast(rows, tf.float32)


class PooledTable(mm.EmbeddingTable):  # type: ignore[misc]
    """`EmbeddingTable` with the mean of a list taken over its padded rows.

    Stock looks lists up by sparse operators, which ONNX has no like of. The values are equal but
    for rounding; an empty list gives zeros, as in stock.
    """

    def _call_table(self, inputs: Any, **kwargs: Any) -> tf.Tensor:
        if not isinstance(inputs, tf.RaggedTensor) or self.sequence_combiner != "mean":
            return super()._call_table(inputs, **kwargs)
        # Merlin gives lists as (rows, None, 1).
        lists = inputs if inputs.shape.rank == 2 else tf.squeeze(inputs, axis=-1)
        ids = padded(lists.values, lists.row_splits)
        lengths = lists.row_lengths()[:, None]
        inside = tf.range(tf.shape(ids, lengths.dtype)[1], dtype=lengths.dtype)[None, :] < lengths
        vectors = tf.cast(self.table(ids), tf.float32) * tf.cast(inside, tf.float32)[..., None]
        counts = tf.cast(tf.maximum(lengths, 1), tf.float32)
        pooled = tf.reduce_sum(vectors, axis=1) / counts
        if self.l2_batch_regularization_factor > 0:
            self.add_loss(self.l2_batch_regularization_factor * tf.reduce_sum(tf.square(pooled)))
        return tf.cast(pooled, self._dtype_policy.compute_dtype)
