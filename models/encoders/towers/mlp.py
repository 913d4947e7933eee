"""The tower of a two-tower model by default: embeddings, then dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.models.encoders.towers.inputs import feature_inputs

if TYPE_CHECKING:
    from towermill.models.configs.two_tower import TwoTowerConfig


class MLPEncoder:
    """Embeddings concatenated, then dense layers; without any, the sum of the embeddings.

    An encoder of your own is a class like this one: ``build`` returns an `mm.Encoder` from a batch
    of the side's features to ``(rows, dim)``.
    """

    kind: ClassVar[str] = "mlp"

    def build(
        self, schema: Schema, widths: Sequence[int], config: TwoTowerConfig, seed: int
    ) -> mm.Encoder:
        """Return the tower.

        Parameters
        ----------
        schema
            The encoded features of the side.
        widths
            `model.tower` or `model.item_tower`; the last is the width of the embedding.
        config
            The `model` section.
        seed
            Seed of the embeddings' initial values.
        """
        layers: list[Any] = []
        if config.input_dropout:
            layers.append(tf.keras.layers.Dropout(config.input_dropout))
        if widths:
            layers.append(
                mm.MLPBlock(
                    list(widths),
                    activation=config.activation,
                    dropout=config.dropout or None,
                    no_activation_last_layer=True,
                )
            )
        if config.normalize:
            layers.append(mm.L2Norm())
        return mm.Encoder(feature_inputs(schema, config, seed, plain_sum=not widths), *layers)
