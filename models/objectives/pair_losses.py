"""Binary cross-entropy of a ranker's pairs: labelled rows, or interactions and drawn negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import EVENT_WEIGHT, FIRST_ID, USER_ID
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import of_schema
from towermill.models.layers.embeddings import mean_penalty
from towermill.models.objectives.draws import uniform_whole
from towermill.models.objectives.event_weights import weighted_mean
from towermill.models.objectives.feature_table import FeatureTable, stacked
from towermill.models.objectives.known_pairs import KnownPairs


@dataclass(frozen=True)
class LabelledLoss:
    """The mean binary cross-entropy of rows that have labels, and the model's L2.

    Attributes
    ----------
    model
        Keras: a batch to logits of every label, ``(rows, labels)``.
    labels
        The columns of a batch with 0 and 1; their losses are added up.
    """

    model: Any
    labels: Sequence[str]

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        labels = tf.stack([tf.cast(batch[name], tf.float32) for name in self.labels], axis=1)
        logits = self.model(batch, training=True, every=True)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        mean = weighted_mean(tf.reduce_sum(losses, axis=1), batch)
        return mean + mean_penalty(self.model, tf.shape(logits)[0])


class SampledLoss(tf.Module):  # type: ignore[misc]
    """Binary cross-entropy of interactions and of the negatives drawn for each.

    Each row is a positive; `negatives` items are drawn for it uniformly, and have the features that
    the catalogue gives them. Drawn items that the user interacted with in training have no weight.
    The draws depend on a counter that is part of the model: see `samplers`.

    Parameters
    ----------
    model
        Keras: a batch to logits ``(rows,)``.
    data
        Its catalogue is drawn from.
    query_schema, item_schema
        The model's inputs on either side.
    negatives
        Items drawn for each row.
    seed
        With the counter, decides the draws.
    """

    def __init__(
        self,
        model: Any,
        data: Processed,
        query_schema: Schema,
        item_schema: Schema,
        negatives: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.model, self.known, self.negatives, self.seed = model, KnownPairs(data), negatives, seed
        self.query_schema, self.item_schema = query_schema, item_schema
        self.items = FeatureTable(to_batch(data.items, item_schema))
        self.end = FIRST_ID + data.items.height
        model.draws = tf.Variable(0, trainable=False, dtype=tf.int64, name="draws")

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        users = batch[USER_ID]
        rows = tf.shape(users)[0]
        step = self.model.draws.assign_add(1)
        drawn = uniform_whole([rows * self.negatives], FIRST_ID, self.end, self.seed, step)
        several = tf.repeat(tf.range(rows), self.negatives)
        queries = FeatureTable(of_schema(batch, self.query_schema)).rows(several)
        items = self.items.rows(drawn - FIRST_ID)
        wrong = tf.cast(~self.known(tf.gather(users, several), drawn), tf.float32)
        own = of_schema(batch, Schema([*self.query_schema, *self.item_schema]))
        labels = tf.concat([tf.ones([rows]), tf.zeros_like(wrong)], axis=0)
        own_weights = batch.get(EVENT_WEIGHT, tf.ones([rows]))
        weights = tf.concat([own_weights, wrong * tf.gather(own_weights, several)], axis=0)
        logits = self.model(stacked(own, {**queries, **items}), training=True)
        losses = weights * tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        mean = tf.reduce_sum(losses) / tf.reduce_sum(weights)
        return mean + mean_penalty(self.model, tf.size(logits))
