"""Batches as TensorFlow sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray


def as_tensors(batch: Mapping[str, NDArray[Any]]) -> dict[str, tf.Tensor]:
    """Return the batch as constants."""
    return {name: tf.constant(value) for name, value in batch.items()}


def tensor_specs(schema: Schema) -> dict[str, tf.TensorSpec]:
    """Return the specs of a batch of these columns, as `towermill.models.data.to_batch` makes it.

    Each is of rank 1 and any length. With the length left open, a trace holds for every batch, and
    Merlin's check that all features agree in it passes for lists (whose length is never known).
    """
    specs = {}
    for column in schema:
        dtype = column.dtype.to("tensorflow")
        if column.is_list:
            specs[f"{column.name}__values"] = tf.TensorSpec([None], dtype)
            specs[f"{column.name}__offsets"] = tf.TensorSpec([None], tf.int32)
        else:
            specs[column.name] = tf.TensorSpec([None], dtype)
    return specs
