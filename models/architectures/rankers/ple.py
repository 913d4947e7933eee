"""PLE, of Merlin Models' `PLEBlock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.models.architectures.rankers.mmoe import MixedExperts
from towermill.models.architectures.rankers.parts import dense

if TYPE_CHECKING:
    from towermill.models.configs.rankers.ple import PLEConfig


def ple_layers(schema: Schema, config: PLEConfig, seed: int) -> Any:
    """Return the layers of a PLE (Tang et al., 2020), features to logits ``(rows, targets)``.

    As stock Merlin's, every gate reads the features, also above the first layer, where the paper's
    reads what the layer below has mixed.
    """
    return MixedExperts(schema, config, seed, _Extraction(config))


class _Extraction(tf.keras.layers.Layer):  # type: ignore[misc]
    """Features to the mix of each target.

    Merlin picks a target's experts by the beginning of their names, so that ``click`` would take
    those of ``click_again`` as well; here targets are named by numbers of one length.
    """

    def __init__(self, config: PLEConfig) -> None:
        super().__init__()
        self.places = {name: f"target{place:04}" for place, name in enumerate(config.targets)}
        self.block = mm.PLEBlock(
            config.extraction_layers,
            list(self.places.values()),
            dense(config),
            num_task_experts=config.experts,
            num_shared_experts=config.shared_experts,
        )

    def call(self, inputs: tf.Tensor, training: Any = None) -> dict[str, tf.Tensor]:
        """Return ``(rows, width)`` for each target."""
        mixed = self.block(inputs, training=training)
        return {name: mixed[place] for name, place in self.places.items()}
