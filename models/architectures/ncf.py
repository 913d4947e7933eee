"""NCF: an MLP on the embeddings of a user and an item (He et al., WWW 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.columns import ITEM_ID, LABELS, USER_ID
from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed
from towermill.models.layers.embeddings import first_values, lookup
from towermill.models.objectives.pair_losses import LabelledLoss, SampledLoss

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
            config.embedding_dim,
            column,
            embeddings_initializer=first_values(column.name, seed),
            l2_batch_regularization_factor=config.l2,
        )
        for column in (user, item)
    }
    mlp = mm.MLPBlock([*config.mlp], activation="relu", dropout=config.dropout or None)
    model = NCF(tables, mlp)
    schemas = Schema([user]), Schema([item])
    loss: Any = LabelledLoss(model, (LABELS,))
    if data.events == "interactions":
        loss = SampledLoss(model, data, *schemas, config.num_negatives, seed)
    ranker = Ranker(model, *schemas, loss)
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
    """

    def __init__(self, tables: Mapping[str, mm.EmbeddingTable], mlp: Any) -> None:
        super().__init__()
        self.users, self.items, self.mlp = tables[USER_ID], tables[ITEM_ID], mlp
        self.last = tf.keras.layers.Dense(1)

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: Any = None, every: bool = False
    ) -> tf.Tensor:
        """Return logits ``(rows,)`` for ``user_id`` and ``item_id`` of as many rows.

        With `every`, ``(rows, 1)``: there is one target.
        """
        users, items = lookup(self.users, inputs[USER_ID]), lookup(self.items, inputs[ITEM_ID])
        joined = self.mlp(tf.concat([users, items], axis=1), training=training)
        logits = tf.cast(self.last(joined), tf.float32)
        return logits if every else logits[:, 0]
