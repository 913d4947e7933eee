"""Towers of linear models: tables of vectors that are computed, not trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY
from towermill.models.contracts.retriever import Retriever, nothing_to_learn
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import padded

#: Numbers of a row's history that are looked up at a time.
_AT_ONCE = 2**14


class LinearRetriever(Retriever):
    """A `Retriever` that is solved, not trained."""

    @classmethod
    def of(cls, data: Processed, query: Any, item: Any) -> LinearRetriever:
        """Return that of two towers, built; its weights are zeros."""
        made = cls(query, item, None, nothing_to_learn)
        made.build(data)
        return made

    @property
    def rows_at_once(self) -> int:
        """Rows a call when a whole table is encoded: a history may hold hundreds of items."""
        return min(super().rows_at_once, 1024)


class Table(tf.keras.layers.Layer):  # type: ignore[misc]
    """Vectors by encoded item id, zeros until they are assigned and for ids that are no item.

    Parameters
    ----------
    items, dim
        Items of the catalogue, and the width of a vector.
    """

    def __init__(self, items: int, dim: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.table = self.add_weight(
            name="table", shape=(items + FIRST_ID, dim), initializer="zeros", trainable=False
        )

    def assign(self, vectors: NDArray[np.float32]) -> None:
        """Set the vectors of the items, ``(items, dim)``; columns that are missing are zeros."""
        full = np.zeros(self.table.shape, np.float32)
        full[FIRST_ID:, : vectors.shape[1]] = vectors
        self.table.assign(full)

    def call(self, ids: tf.Tensor, training: Any = None) -> tf.Tensor:
        return tf.gather(self.table, ids)


class ItemTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The item tower: the vector of an item's id."""

    def __init__(self, schema: Schema, items: int, dim: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.schema = schema
        (self.id,) = schema.column_names
        self.table = Table(items, dim)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        return self.table(inputs[self.id])


class SetTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A query tower that reads the history as a set; its subclass says what becomes of the items.

    Parameters
    ----------
    schema
        Of the list ``history`` alone.
    history_size
        Read at most this many items, the last ones.
    """

    def __init__(self, schema: Schema, history_size: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.schema, self.history_size = schema, history_size

    def item_set(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the distinct ids of each history, 0 elsewhere: ``(rows, history_size)``."""
        # Of one width for all batches: sums over padding differ in their last bits.
        values, offsets = inputs[f"{HISTORY}__values"], inputs[f"{HISTORY}__offsets"]
        ids = padded(values, offsets, self.history_size)
        ids = tf.sort(ids, axis=1, direction="DESCENDING")
        before = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
        return tf.where(ids != before, ids, tf.zeros_like(ids))


class SumTower(SetTower):
    """The sum of the vectors of the history's items, ``(rows, dim)``."""

    def __init__(
        self, schema: Schema, history_size: int, items: int, dim: int, **kwargs: Any
    ) -> None:
        super().__init__(schema, history_size, **kwargs)
        self.table = Table(items, dim)
        self.step = max(1, _AT_ONCE // dim)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        ids = self.item_set(inputs)
        # A few places at a time: whole histories of many users would not fit into memory.
        parts = [
            tf.reduce_sum(self.table(ids[:, start : start + self.step]), axis=1)
            for start in range(0, self.history_size, self.step)
        ]
        return tf.add_n(parts)
