"""A retriever of your own, for `model: {kind: custom}`: a side is the sum of its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema, Tags

from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed
from towermill.models.layers.embeddings import lookup


def build(data: Processed, *, batch_size: int, seed: int, width: int = 16) -> Retriever:
    """Return the untrained retriever; `width` is of `model.options`."""
    query, item = Tower(data.query_schema, width), Tower(data.item_schema, width)
    model = Pairs(query, item)
    retriever = Retriever(query, item, model, InBatchLoss(model))
    retriever.build(data)
    return retriever


class Tower(tf.keras.Model):
    """The sum of the embeddings of a side's categories, ``(rows, width)``."""

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.schema = schema.select_by_tag(Tags.CATEGORICAL)
        self.tables = {column.name: mm.EmbeddingTable(width, column) for column in self.schema}

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return the embeddings of a batch."""
        return tf.add_n([lookup(table, batch[name]) for name, table in self.tables.items()])


class Pairs(tf.keras.Model):
    """Every query of a batch with every item of it."""

    def __init__(self, query: Tower, item: Tower) -> None:
        super().__init__()
        self.query, self.item = query, item

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows, rows)``, those of the interactions on the diagonal."""
        return tf.matmul(self.query(batch), self.item(batch), transpose_b=True)


@dataclass(frozen=True)
class InBatchLoss:
    """Softmax cross-entropy of each interaction among the items of its batch."""

    model: Pairs

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        logits = self.model(batch, training=True)
        right = tf.range(tf.shape(logits)[0])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(right, logits))
