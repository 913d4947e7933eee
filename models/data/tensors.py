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


def of_schema(batch: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the entries of a batch that are a schema's columns."""
    names = {
        name
        for column in schema
        for name in (column.name, f"{column.name}__values", f"{column.name}__offsets")
    }
    return {name: values for name, values in batch.items() if name in names}


def tensor_specs(schema: Schema) -> dict[str, tf.TensorSpec]:
    """Return the specs of a batch of these columns, as `to_batch` makes it.

    Each is of rank 1 and any length. With the length left open, one trace serves every batch, and
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


def padded(
    values: tf.Tensor, offsets: tf.Tensor, last: int = 0, *, fixed: bool = True
) -> tf.Tensor:
    """Return lists as ``(rows, width)``, padded with zeros at the end.

    Plain gathers: every runtime that an export goes to has them.

    Parameters
    ----------
    values, offsets
        ``(values,)`` and ``(rows + 1,)``.
    last
        If given, keep at most this many values of a list, those at its end.
    fixed
        With `last`: it is the width. Otherwise the width is that of the longest list that is kept,
        and at least 1.
    """
    first, end = offsets[:-1], offsets[1:]
    if last:
        first = tf.maximum(first, end - last)
    width = last if last and fixed else tf.maximum(tf.reduce_max(end - first), 1)
    places = first[:, None] + tf.range(width, dtype=offsets.dtype)[None, :]
    nothing = tf.zeros([1], values.dtype)
    # What lies behind a list's end is read from behind all of them.
    places = tf.where(places < end[:, None], places, tf.cast(tf.size(values), offsets.dtype))
    return tf.gather(tf.concat([values, nothing], 0), places)
