"""The content retriever: given vectors of articles, and the mean over the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID, VECTOR
from towermill.errors import SchemaError
from towermill.models.architectures.news.history import HistoryTower, NewsRetriever, dense_list
from towermill.models.contracts.retriever import Retriever, nothing_to_learn
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed


def build_content(data: ImpressionData) -> NewsRetriever:
    """Return the retriever, which has nothing to learn.

    An article is its vector at length 1, a reader the mean of the articles read: their dot product
    is the mean cosine (Lops et al., 2011, "Content-based recommender systems").

    Raises
    ------
    SchemaError
        The processed data has no vectors.
    """
    dim = data.vectors.shape[1]
    query = HistoryTower(MeanReader(), data.query_schema, data.history_size, dim=dim)
    item = VectorTower(Schema([data.schema[VECTOR]]))
    retriever = NewsRetriever(query, item, None, nothing_to_learn)
    retriever.build(data)
    return retriever


class MeanReader(tf.keras.layers.Layer):  # type: ignore[misc]
    """The mean of the articles read, ``(rows, dim)``; zeros where none was."""

    def call(self, vectors: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        weights = tf.cast(mask, vectors.dtype)[..., None]
        total = tf.reduce_sum(vectors * weights, axis=1)
        return total / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)


class VectorTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The item tower: a given vector at length 1; one of zeros stays."""

    def __init__(self, schema: Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schema = schema

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        return tf.math.l2_normalize(dense_list(inputs, VECTOR), axis=1)


def build_content_of_users(data: Processed) -> Retriever:
    """Return the retriever, which has nothing to learn.

    An item is its vector at length 1, a user the mean of their training items, each counted once:
    their dot product is the mean cosine (Lops et al., 2011, "Content-based recommender systems").
    Unknown users score every item 0.

    Raises
    ------
    SchemaError
        The processed items have no vectors.
    """
    if VECTOR not in data.items.columns:
        raise SchemaError(
            "A `content` model needs vectors of the items; the processed data has none. Set "
            "`text.vectors` to a sentence model's name or folder, or to `lsa`."
        )
    vectors = data.items[VECTOR].to_numpy().astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors / np.where(length > 0, length, 1), np.float32)
    items = _after_reserved(unit)
    query = TableTower(_means(data, items), data.query_schema.select_by_name(USER_ID))
    item = TableTower(items, data.item_schema.select_by_name(ITEM_ID))
    retriever = Retriever(query, item, None, nothing_to_learn)
    retriever.build(data)
    return retriever


def _after_reserved(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of ids from 3 on, after zeros for those below."""
    return np.concatenate([np.zeros((FIRST_ID, rows.shape[1]), np.float32), rows])


def _means(data: Processed, items: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean vector of each user id's training items, ``(ids, dim)``."""
    pairs = data.met()
    users, met = pairs[USER_ID].to_numpy(), pairs[ITEM_ID].to_numpy()
    ids = int(data.schema[USER_ID].int_domain.max) + 1
    totals = np.zeros((ids, items.shape[1]), np.float32)
    np.add.at(totals, users, items[met])
    return totals / np.maximum(np.bincount(users, minlength=ids), 1).astype(np.float32)[:, None]


class TableTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A tower that looks an id up in a table ``(ids, dim)``, which training leaves alone."""

    def __init__(self, table: NDArray[np.float32], schema: Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        (self.id,) = schema.column_names
        self.table = self.add_weight(
            name="table",
            shape=table.shape,
            dtype=tf.float32,
            initializer=tf.keras.initializers.Constant(table),
            trainable=False,
        )

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        return tf.gather(self.table, inputs[self.id])
