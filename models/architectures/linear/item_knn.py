"""Item-based nearest neighbours as a retriever as wide as the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID
from towermill.errors import RecipeError
from towermill.models.architectures.linear.knn_weights import neighbour_matrix
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.architectures.linear.towers import LinearRetriever, SetTower, Table
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed

if TYPE_CHECKING:
    from towermill.models.configs.linear.item_knn import ItemKnnConfig

#: An embedding has a number an item, so that the towers grow by the square of the catalogue.
MOST_ITEMS = 5000


def build_item_knn(data: Processed) -> Retriever:
    """Return a retriever of zeros, which `solve_item_knn` fills.

    Raises
    ------
    RecipeError
        The catalogue is too large.
    SchemaError
        The processed data has no histories or no item id.
    """
    items = data.items.height
    if items > MOST_ITEMS:
        raise RecipeError(
            f"`model.kind: item_knn` should have at most {MOST_ITEMS} items, as its embeddings are "
            f"as wide as the catalogue. Received: {items}. Choose `ease` or `als`, or compare with "
            "it: `evaluate.baselines: [popularity, random, item_knn]`."
        )
    data.column(HISTORY)
    query = NeighbourTower(data.schema.select_by_name(HISTORY), data.history_size, items)
    item = OneHotTower(data.item_schema.select_by_name(ITEM_ID), items)
    return LinearRetriever.of(data, query, item)


def solve_item_knn(model: Retriever, data: Processed, config: ItemKnnConfig) -> None:
    """Compute the similarities that the query tower sums: see `neighbour_matrix`."""
    found = neighbour_matrix(
        interaction_matrix(data), config.neighbours, config.shrink, bm25=config.weighting == "bm25"
    )
    model.query_tower.table.assign(found.toarray())


class NeighbourTower(SetTower):
    """The sum of the history's rows of similarities: the score of every item, ``(rows, items)``."""

    def __init__(self, schema: Schema, history_size: int, items: int, **kwargs: Any) -> None:
        super().__init__(schema, history_size, **kwargs)
        self.table = Table(items, items)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        ids = self.item_set(inputs)
        rows = tf.broadcast_to(tf.range(tf.shape(ids)[0], dtype=ids.dtype)[:, None], tf.shape(ids))
        places = tf.reshape(tf.stack([rows, ids], axis=-1), [-1, 2])
        # A row of ones is far narrower than the rows of similarities that it sums.
        nothing = tf.zeros([tf.shape(ids)[0], self.table.table.shape[0]])
        read = tf.tensor_scatter_nd_update(nothing, places, tf.ones_like(places[:, 0], tf.float32))
        return tf.matmul(read, self.table.table)


class OneHotTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The item tower: 1 at the item's own place, ``(rows, items)``."""

    def __init__(self, schema: Schema, items: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.schema, self.items = schema, items
        (self.id,) = schema.column_names

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        return tf.one_hot(inputs[self.id] - FIRST_ID, self.items)
