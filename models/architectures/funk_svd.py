"""FunkSVD: factors and biases by id, learned with a focal loss, served as a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed
from towermill.models.layers.factors import BiasedFactors
from towermill.models.objectives.draws import uniform_whole
from towermill.models.objectives.known_pairs import KnownPairs

if TYPE_CHECKING:
    from towermill.models.configs.funk_svd import FunkSVDConfig


def build_funk_svd(data: Processed, config: FunkSVDConfig, *, seed: int = 0) -> Retriever:
    """Return an untrained FunkSVD (Funk, 2006; Koren et al., Computer 2009).

    The score of a pair is the dot product of their factors plus both biases. The biases are folded
    into the embeddings, query ``[p, b, 1]`` and item ``[q, 1, b]``, so that the dot product of
    these is the whole score.

    Parameters
    ----------
    data
        Gives the schema (of which the ids are read) and the training pairs.
    config
        The recipe's `model` section.
    seed
        Seed of the factors' initial values and of the draws of negatives.

    Raises
    ------
    SchemaError
        The schema lacks a user id or an item id.
    """
    query = FactorTower(data.query_schema.select_by_name(USER_ID), config.factors, "query", seed)
    item = FactorTower(data.item_schema.select_by_name(ITEM_ID), config.factors, "item", seed)
    model = FunkSVD(query, item, data, config, seed)
    retriever = Retriever(query, item, model, model.loss)
    retriever.build(data)
    return retriever


class FactorTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The tower of a side: an id → ``(rows, factors + 2)``, see `BiasedFactors`.

    Parameters
    ----------
    schema
        Of the id alone.
    factors
        How many.
    side
        Which of the two.
    seed
        Seed of the initial values.
    """

    def __init__(
        self,
        schema: Schema,
        factors: int,
        side: Literal["query", "item"],
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        (self.id,) = schema.column_names
        self.embed = BiasedFactors(schema.first, factors, side, seed)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        return self.embed(inputs[self.id])


class FunkSVD(tf.keras.layers.Layer):  # type: ignore[misc]
    """Train both towers, with negatives drawn by a counter that is part of the state."""

    def __init__(
        self,
        query_tower: FactorTower,
        item_tower: FactorTower,
        data: Processed,
        config: FunkSVDConfig,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query_tower, self.item_tower = query_tower, item_tower
        self.config, self.seed, self.known = config, seed, KnownPairs(data)
        self.draws = tf.Variable(0, trainable=False, dtype=tf.int64, name="draws")
        self.items = data.items.height

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return the scores of a batch's pairs, float32 ``(rows,)``."""
        users, items = self.query_tower(batch), self.item_tower(batch)
        return tf.reduce_sum(tf.cast(users, tf.float32) * tf.cast(items, tf.float32), axis=1)

    def loss(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the mean loss of a batch's pairs and of those drawn with them."""
        users, positives = batch[USER_ID], batch[ITEM_ID]
        drawn, counts = self.negatives(users)
        items = tf.concat([positives[:, None], drawn], axis=1)
        weights = tf.concat([tf.ones_like(counts[:, :1]), counts], axis=1)
        query = tf.cast(self.query_tower.embed(users), tf.float32)
        flat = tf.cast(self.item_tower.embed(tf.reshape(items, [-1])), tf.float32)
        item = tf.reshape(flat, [-1, tf.shape(items)[1], flat.shape[1]])
        logits = tf.einsum("bd,bnd->bn", query, item)
        terms = self._focal(logits)
        if self.config.l2:
            # Less the two ones that are no parameters.
            norms = tf.reduce_sum(query**2, axis=-1)[:, None] + tf.reduce_sum(item**2, axis=-1) - 2
            terms += self.config.l2 * norms
        return tf.reduce_sum(weights * terms) / tf.reduce_sum(weights)

    def negatives(self, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw for each of `users` ``(rows,)``: item ids and their weights, 1 or 0, ``(rows, n)``.

        A weight is 0 beyond the number of negatives that a row has drawn, and for the user's
        training items.
        """
        least, most = self.config.num_negatives
        step, rows = self.draws.assign_add(1), tf.shape(users)[0]
        seed, end = 2 * self.seed, FIRST_ID + self.items
        items = uniform_whole([rows, most], FIRST_ID, end, seed, step)
        wanted = tf.range(most) < uniform_whole([rows, 1], least, most + 1, seed + 1, step)
        weights = tf.cast(wanted & ~self.known(users[:, None], items), tf.float32)
        return tf.cast(items, users.dtype), weights

    def _focal(self, logits: tf.Tensor) -> tf.Tensor:
        """Return the focal loss of each pair, of which column 0 is positive."""
        labels = tf.concat([tf.ones_like(logits[:, :1]), tf.zeros_like(logits[:, 1:])], axis=1)
        return tf.keras.losses.binary_focal_crossentropy(
            labels[..., None],
            logits[..., None],
            apply_class_balancing=True,
            alpha=self.config.balance,
            gamma=self.config.gamma,
            from_logits=True,
            label_smoothing=self.config.label_smoothing,
        )
