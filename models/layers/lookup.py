"""Rows of a Merlin embedding table."""

from __future__ import annotations

import merlin.models.tf as mm
import tensorflow as tf


def lookup(table: mm.EmbeddingTable, ids: tf.Tensor) -> tf.Tensor:
    """Return ``(rows, dim)`` for ids ``(rows,)``; stock Merlin drops the axis of a batch of one."""
    return tf.reshape(table(ids), [-1, table.dim])
