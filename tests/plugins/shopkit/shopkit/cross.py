"""The cross network, of Merlin's blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema, Tags

from shopkit.configs import CrossConfig
from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed


def build_cross(data: Processed, config: CrossConfig) -> Ranker:
    """Return the untrained ranker."""
    users, items = data.query_schema.select_by_tag(Tags.USER), data.item_schema
    model = Cross(Schema([*users, *items]), config)
    ranker = Ranker(model, users, items, PairwiseLoss(model, items.column_names))
    ranker.build(data)
    return ranker


class Cross(tf.keras.Model):
    """Embeddings and numbers side by side, cross layers, one logit."""

    def __init__(self, schema: Schema, config: CrossConfig) -> None:
        super().__init__()
        tables = mm.Embeddings(schema.select_by_tag(Tags.CATEGORICAL), dim=config.embedding_dim)
        self.network = mm.Encoder(
            mm.InputBlockV2(schema, categorical=tables),
            mm.CrossBlock(config.depth),
            mm.MLPBlock([1], activation="linear"),
        )

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows,)``."""
        return tf.squeeze(self.network(batch, training=training), axis=-1)


@dataclass(frozen=True)
class PairwiseLoss:
    """BPR (Rendle et al., UAI 2009): each pair against its user with the item of the row before."""

    model: Cross
    items: list[str]

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        swapped = {name: tf.roll(batch[name], 1, axis=0) for name in self.items}
        right = self.model(batch, training=True)
        wrong = self.model({**batch, **swapped}, training=True)
        return tf.reduce_mean(tf.nn.softplus(wrong - right))
