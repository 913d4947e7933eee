"""NCF: an MLP on the embeddings of a user and an item (He et al., WWW 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import FIRST_ID, ITEM_ID, LABELS, USER_ID
from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed
from towermill.models.layers.embeddings import first_values, lookup
from towermill.models.objectives.draws import uniform_whole
from towermill.models.objectives.known_pairs import KnownPairs

if TYPE_CHECKING:
    from towermill.models.configs.ncf import NCFConfig


def build_ncf(data: Processed, config: NCFConfig, *, seed: int = 0) -> Ranker:
    """Return an untrained ranker.

    Of the paper's NeuMF this is the MLP: the part that a dot product cannot be.

    Parameters
    ----------
    data
        Gives the ids' cardinalities and, for interactions, the training items of each user.
    config
        The recipe's `model` section.
    seed
        Seed of the embeddings' initial values and of the draws of negatives.

    Raises
    ------
    SchemaError
        The schema lacks a user id or an item id.
    """
    user, item = data.column(USER_ID), data.column(ITEM_ID)
    tables = {
        column.name: mm.EmbeddingTable(
            config.embedding_dim, column, embeddings_initializer=first_values(column.name, seed)
        )
        for column in (user, item)
    }
    mlp = mm.MLPBlock([*config.mlp], activation="relu", dropout=config.dropout or None)
    model = NCF(tables, mlp, config.l2)
    loss: Any = model.loss_of_shown
    if data.events == "interactions":
        loss = SampledLoss(model, KnownPairs(data), data.items.height, config.num_negatives, seed)
    ranker = Ranker(model, Schema([user]), Schema([item]), loss)
    ranker.build(data)
    return ranker


class NCF(tf.keras.Model):  # type: ignore[misc]
    """Both embeddings joined, dense layers, one logit.

    Parameters
    ----------
    tables
        Embeddings of ``user_id`` and ``item_id``.
    mlp
        The dense layers.
    l2
        Weight of the embeddings' squared norms in the loss.
    """

    def __init__(self, tables: Mapping[str, mm.EmbeddingTable], mlp: Any, l2: float) -> None:
        super().__init__()
        self.users, self.items, self.mlp, self.l2 = tables[USER_ID], tables[ITEM_ID], mlp, l2
        self.last = tf.keras.layers.Dense(1)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows,)`` for ``user_id`` and ``item_id`` of as many rows."""
        return self.logits(
            lookup(self.users, inputs[USER_ID]), lookup(self.items, inputs[ITEM_ID]), training
        )

    def logits(self, users: tf.Tensor, items: tf.Tensor, training: Any) -> tf.Tensor:
        """Return logits ``(rows,)`` of embeddings."""
        joined = self.mlp(tf.concat([users, items], axis=1), training=training)
        return tf.cast(self.last(joined), tf.float32)[:, 0]

    def loss_of_shown(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the mean binary cross-entropy of a batch of `EntryBatches`, and its L2."""
        labels = tf.cast(batch[LABELS], tf.float32)
        users = lookup(self.users, batch[USER_ID])
        items = lookup(self.items, batch[ITEM_ID])
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, self.logits(users, items, True))
        return tf.reduce_mean(losses) + self.penalty(users, items)

    def penalty(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return the mean squared norm of rows of embeddings, weighed."""
        both = tf.cast(tf.concat([users, items], axis=1), tf.float32)
        return self.l2 * tf.reduce_mean(tf.reduce_sum(tf.square(both), axis=1))


class SampledLoss(tf.Module):  # type: ignore[misc]
    """Binary cross-entropy of interactions and of the negatives drawn for each.

    The draws depend on a counter that is part of the model: see `negatives`.
    """

    def __init__(
        self, model: NCF, known: KnownPairs, items: int, negatives: int, seed: int
    ) -> None:
        super().__init__()
        self.model, self.known, self.items = model, known, items
        self.negatives, self.seed = negatives, seed
        model.draws = tf.Variable(0, trainable=False, dtype=tf.int64, name="draws")

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        model = self.model
        users, met = batch[USER_ID], batch[ITEM_ID]
        rows = tf.shape(users)[0]
        step = model.draws.assign_add(1)
        end = FIRST_ID + self.items
        drawn = uniform_whole([rows * self.negatives], FIRST_ID, end, self.seed, step)
        several = tf.repeat(users, self.negatives)
        everyone = tf.concat([users, several], axis=0)
        everything = tf.concat([met, tf.cast(drawn, met.dtype)], axis=0)
        right = tf.concat([tf.ones_like(users), tf.zeros_like(several)], axis=0)
        wrong = tf.cast(~self.known(several, drawn), tf.float32)
        weights = tf.concat([tf.ones_like(users, tf.float32), wrong], axis=0)
        user_rows, item_rows = lookup(model.users, everyone), lookup(model.items, everything)
        losses = weights * tf.nn.sigmoid_cross_entropy_with_logits(
            tf.cast(right, tf.float32), model.logits(user_rows, item_rows, True)
        )
        mean = tf.reduce_sum(losses) / tf.reduce_sum(weights)
        return mean + model.penalty(user_rows, item_rows)
