"""Rows of features in a TensorFlow graph: gathered by position, and put below others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


class FeatureTable:
    """Features on the device, gathered by position.

    Parameters
    ----------
    features
        A batch in Merlin's form: the catalogue's, row i the item of encoded id i + 3; or one within
        a step.

    Examples
    --------
    >>> import numpy as np
    >>> table = FeatureTable({"item_id": np.array([3, 4, 5], np.int32)})
    >>> table.rows([2, 0])["item_id"].numpy()
    array([5, 3], dtype=int32)
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.dense = {n: tf.convert_to_tensor(v) for n, v in features.items() if "__" not in n}
        self.ragged = {
            n.removesuffix("__offsets"): tf.RaggedTensor.from_row_splits(
                tf.convert_to_tensor(features[n.removesuffix("__offsets") + "__values"]), v
            )
            for n, v in features.items()
            if n.endswith("__offsets")
        }

    def rows(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return a batch in Merlin's form."""
        if self.ragged:
            # A list's number of rows is never known while tracing, and Merlin wants all features to
            # agree: hide it for the others too.
            positions = tf.compat.v1.placeholder_with_default(positions, [None])
        batch = {name: tf.gather(column, positions) for name, column in self.dense.items()}
        for name, column in self.ragged.items():
            lists = tf.gather(column, positions)
            batch[f"{name}__values"] = lists.values
            batch[f"{name}__offsets"] = lists.row_splits
        return batch


def stacked(upper: Mapping[str, tf.Tensor], lower: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the rows of two batches of the same columns, one below the other."""
    batch = {}
    for name, values in upper.items():
        below = tf.cast(lower[name], values.dtype)
        if name.endswith("__offsets"):
            below = below[1:] + values[-1]
        batch[name] = tf.concat([values, below], axis=0)
    return batch
