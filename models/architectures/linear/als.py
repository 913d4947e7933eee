"""ALS as a retriever: a history is folded in by conjugate gradients inside the query tower."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import HISTORY, ITEM_ID
from towermill.models.architectures.linear.als_weights import als_factors
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.architectures.linear.towers import (
    ItemTower,
    LinearRetriever,
    SetTower,
    Table,
)
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed

if TYPE_CHECKING:
    from towermill.models.configs.linear.als import AlsConfig

#: Relative error that the conjugate gradients may leave, in the norm of their matrix.
_ERROR = 1e-5


def build_als(data: Processed, config: AlsConfig) -> Retriever:
    """Return a retriever of zeros, which `solve_als` fills.

    Raises
    ------
    SchemaError
        The processed data has no histories or no item id.
    """
    data.column(HISTORY)
    items = data.items.height
    schema = data.schema.select_by_name(HISTORY)
    query = FoldInTower(schema, data.history_size, items, config.factors, config.alpha)
    item = ItemTower(data.item_schema.select_by_name(ITEM_ID), items, config.factors)
    return LinearRetriever.of(data, query, item)


def solve_als(model: Retriever, data: Processed, config: AlsConfig, *, seed: int) -> None:
    """Fit the factors, which both towers hold: see `als_factors`."""
    vectors = als_factors(
        interaction_matrix(data),
        factors=config.factors,
        l2=config.l2,
        alpha=config.alpha,
        iterations=config.iterations,
        seed=seed,
        gpu=bool(tf.config.get_visible_devices("GPU")),
    )
    model.query_tower.table.assign(vectors)
    model.item_tower.table.assign(vectors)


def steps_for(alpha: float, factors: int) -> int:
    """Return the conjugate-gradient steps after which the relative error is below 1e-5.

    The eigenvalues are from 1 to 1 + `alpha`, as the vectors' own sum of squares is at most the
    identity; the bound is the usual one by the condition number (Saad, 2003, "Iterative methods
    for sparse linear systems", equation 6.128).

    Examples
    --------
    >>> steps_for(alpha=5.0, factors=64), steps_for(alpha=40.0, factors=64)
    (15, 39)
    """
    root = math.sqrt(1 + alpha)
    factor = (root - 1) / (root + 1)
    return min(factors, math.ceil(math.log(_ERROR / 2) / math.log(factor)))


class FoldInTower(SetTower):
    """The factors of the history by least squares, ``(rows, factors)``: see `als_factors`.

    ONNX has no solver: it takes a fixed number of conjugate-gradient steps (Hestenes and Stiefel,
    1952), which matrix products and sums make up.
    """

    def __init__(
        self,
        schema: Schema,
        history_size: int,
        items: int,
        factors: int,
        alpha: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(schema, history_size, **kwargs)
        self.table, self.alpha = Table(items, factors), alpha
        self.steps = steps_for(alpha, factors)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        vectors = self.table(self.item_set(inputs))
        total = (1 + self.alpha) * tf.reduce_sum(vectors, axis=1)
        found, residual, direction = tf.zeros_like(total), total, total
        square = _square(residual)
        for _ in range(self.steps):
            along = tf.matmul(vectors, direction[:, :, None])
            product = direction + self.alpha * tf.matmul(vectors, along, transpose_a=True)[:, :, 0]
            # Of an empty history all is zero, and stays so.
            size = square / tf.maximum(tf.reduce_sum(direction * product, 1, True), _LEAST)
            found += size * direction
            residual -= size * product
            smaller = _square(residual)
            direction = residual + smaller / tf.maximum(square, _LEAST) * direction
            square = smaller
        return found


_LEAST = 1e-30


def _square(rows: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(rows * rows, axis=1, keepdims=True)
