"""The content retriever: given vectors of articles, and the mean of what was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import VECTOR
from towermill.models.architectures.history import HistoryTower, NewsRetriever, dense_list
from towermill.models.data.impressions import ImpressionData


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
    retriever = NewsRetriever(query, item, None, _nothing_to_learn)
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


def _nothing_to_learn(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return tf.constant(0.0)
