"""DeepFM, of Merlin Models' `FMPairwiseInteraction` and dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema, Tags

from towermill.models.architectures.rankers.parts import dense, linear, logit
from towermill.models.encoders.towers.inputs import embedding_tables

if TYPE_CHECKING:
    from towermill.models.configs.rankers.deepfm import DeepFMConfig


def deepfm_layers(schema: Schema, config: DeepFMConfig, seed: int) -> Any:
    """Return the layers of a DeepFM (Guo et al., IJCAI 2017), features to logits ``(rows, 1)``."""
    return DeepFM(schema, config, seed)


class DeepFM(tf.keras.layers.Layer):  # type: ignore[misc]
    """The sum of a linear model, the products of all pairs of embeddings, and dense layers.

    Merlin's own `FMBlock` stacks embeddings along the last axis and adds along the first, so that
    its products are of the columns of one embedding, and no two features meet; here they do.

    Parameters
    ----------
    schema, config, seed
        As for `deepfm_layers`.
    """

    def __init__(self, schema: Schema, config: DeepFMConfig, seed: int) -> None:
        super().__init__()
        categories = schema.select_by_tag(Tags.CATEGORICAL)
        numbers = schema.select_by_tag(Tags.CONTINUOUS)
        self.embeddings = embedding_tables(categories, seed, config.embedding_dim, config.l2)
        self.numbers = mm.Continuous(numbers) if numbers else None
        self.first_order = linear(schema, seed)
        self.stack, self.pairs = mm.StackFeatures(axis=1), mm.FMPairwiseInteraction()
        self.join = mm.ConcatFeatures()
        self.deep = mm.SequentialBlock(dense(config), logit())

    def call(self, inputs: dict[str, Any], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows, 1)`` for prepared features."""
        embedded = self.embeddings(inputs)
        products = tf.reduce_sum(self.pairs(self.stack(embedded)), axis=1, keepdims=True)
        numbers = self.numbers(inputs) if self.numbers is not None else {}
        deep = self.deep(self.join({**embedded, **numbers}), training=training)
        parts = (self.first_order(inputs), products, deep)
        return tf.add_n([tf.cast(part, tf.float32) for part in parts])
