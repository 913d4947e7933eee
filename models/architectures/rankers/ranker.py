"""A ranker on all features: Merlin's form of a batch, the layers of a kind, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import of_schema
from towermill.models.objectives.pair_losses import LabelledLoss, SampledLoss

if TYPE_CHECKING:
    from towermill.models.configs.rankers.base import RankerConfig


def build_ranker(data: Processed, config: RankerConfig, *, seed: int = 0) -> Ranker:
    """Return an untrained ranker with the layers of `config`.

    Parameters
    ----------
    data
        Gives the schema (cardinalities, tags) and the catalogue.
    config
        The recipe's `model` section.
    seed
        Seed of the embeddings' initial values and of the draws of negatives.

    Raises
    ------
    SchemaError
        The schema lacks a user id or an item id.
    """
    schemas = data.query_schema, data.item_schema
    inputs = Schema([*schemas[0], *schemas[1]])
    model = PairModel(inputs, config.layers(inputs, seed))
    loss: Any = (
        LabelledLoss(model, config.target_names)
        if config.target_names
        else SampledLoss(model, data, *schemas, config.negatives_per_row, seed)
    )
    ranker = Ranker(model, *schemas, loss, targets=config.target_names)
    ranker.build(data)
    return ranker


class PairModel(tf.keras.Model):  # type: ignore[misc]
    """Prepare a batch as Merlin's layers take it, and return their logits.

    Parameters
    ----------
    schema
        The inputs; other columns of a batch are left out.
    layers
        From prepared features to logits ``(rows, targets)``; pairs are ranked by the first.
    """

    def __init__(self, schema: Schema, layers: Any) -> None:
        super().__init__()
        self.input_columns = schema
        self.prepare, self.body = mm.PrepareFeatures(schema), layers

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: Any = None, every: bool = False
    ) -> tf.Tensor:
        """Return logits ``(rows,)`` for as many rows; of `every` target, ``(rows, targets)``."""
        features = self.prepare(of_schema(inputs, self.input_columns))
        logits = tf.cast(self.body(features, training=training), tf.float32)
        return logits if every else logits[:, 0]
