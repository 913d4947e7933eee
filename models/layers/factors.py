"""Factors and bias of an id, arranged so that a dot product counts both sides' biases."""

from __future__ import annotations

from typing import Any, Literal

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import ColumnSchema

from towermill.models.layers.embeddings import first_values, lookup


class BiasedFactors(tf.keras.layers.Layer):  # type: ignore[misc]
    """Ids → ``(rows, dim + 2)``: of a query [p, b, 1], of an item [q, 1, b].

    Their dot product is p·q + b of the query + b of the item (Koren et al., 2009).

    Parameters
    ----------
    column
        Of the ids.
    dim
        Factors.
    side
        Which of the two.
    seed
        Seed of the initial values.
    """

    def __init__(
        self,
        column: ColumnSchema,
        dim: int,
        side: Literal["query", "item"],
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.side, self.dim = side, dim
        initial = first_values(column.name, seed)
        #: Factors and, last, the bias.
        self.table = mm.EmbeddingTable(dim + 1, column, embeddings_initializer=initial)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        rows = lookup(self.table, ids)
        factors, bias = rows[:, : self.dim], rows[:, self.dim :]
        parts = [bias, tf.ones_like(bias)]
        return tf.concat([factors, *(parts if self.side == "query" else parts[::-1])], axis=1)

    def squared_norm(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the squared norm of each id's factors and bias, ``(rows,)``."""
        return tf.reduce_sum(tf.square(tf.cast(lookup(self.table, ids), tf.float32)), axis=1)
