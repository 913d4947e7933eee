"""A tower encoder: gated features, then dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.models.encoders.towers.inputs import feature_inputs

if TYPE_CHECKING:
    from towermill.models.configs.two_tower import TwoTowerConfig


class Gated:
    """Embeddings and numbers, each scaled by a gate, then dense layers (Hu et al., CVPR 2018)."""

    kind: ClassVar[str] = "gated"

    def build(
        self, schema: Schema, widths: Sequence[int], config: TwoTowerConfig, seed: int
    ) -> mm.Encoder:
        """Return the tower of one side: a batch of its features to ``(rows, widths[-1])``."""
        dense = mm.MLPBlock(
            list(widths), activation=config.activation, no_activation_last_layer=True
        )
        return mm.Encoder(feature_inputs(schema, config, seed), Gate(), dense)


class Gate(tf.keras.layers.Layer):
    """Scale each input by a number from 0 to 1 that all inputs decide."""

    def build(self, shape: Any) -> None:
        self.weigh = tf.keras.layers.Dense(shape[-1], activation="sigmoid")
        super().build(shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.weigh(inputs)
