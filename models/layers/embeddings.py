"""Merlin embedding tables: their first values, and rows looked up."""

from __future__ import annotations

import zlib
from typing import Any

import merlin.models.tf as mm
import tensorflow as tf


def lookup(table: mm.EmbeddingTable, ids: tf.Tensor) -> tf.Tensor:
    """Return ``(rows, dim)`` for ids ``(rows,)``; stock Merlin drops the axis of a batch of one."""
    return tf.reshape(table(ids), [-1, table.dim])


def first_values(column: str, seed: int) -> Any:
    """Return the initializer of a column's table, whose draws are its own."""
    own = (zlib.crc32(column.encode()) + seed) % 2**31
    return tf.keras.initializers.RandomNormal(stddev=0.05, seed=own)
