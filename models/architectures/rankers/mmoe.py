"""MMoE, of Merlin Models' `MMOEBlock`, and ESMM's product of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema

from towermill.models.architectures.rankers.parts import dense, logit
from towermill.models.encoders.towers.inputs import feature_inputs

if TYPE_CHECKING:
    from towermill.models.configs.rankers.experts import ExpertsConfig
    from towermill.models.configs.rankers.mmoe import MMoEConfig


def mmoe_layers(schema: Schema, config: MMoEConfig, seed: int) -> Any:
    """Return the layers of an MMoE (Ma et al., 2018), features to logits ``(rows, targets)``."""
    experts = mm.MMOEBlock(list(config.targets), dense(config), config.experts)
    return MixedExperts(schema, config, seed, experts)


class MixedExperts(tf.keras.layers.Layer):  # type: ignore[misc]
    """Experts on all features, mixed for each target by its gate, and a tower for each.

    Parameters
    ----------
    schema, config, seed
        As for `mmoe_layers`.
    experts
        Keras: features ``(rows, width)`` to the mix of each target, by name.
    """

    def __init__(self, schema: Schema, config: ExpertsConfig, seed: int, experts: Any) -> None:
        super().__init__()
        self.names, self.first = config.target_names, config.targets[0]
        self.entire_space = config.entire_space
        self.inputs = feature_inputs(schema, config, seed)
        self.experts = experts
        self.towers = {
            name: mm.SequentialBlock(mm.MLPBlock([*config.tower], activation="relu"), logit())
            for name in config.targets
        }

    def call(self, inputs: dict[str, Any], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows, targets)`` for prepared features."""
        mixed = self.experts(self.inputs(inputs, training=training), training=training)
        logits = {
            name: tf.cast(tower(mixed[name], training=training), tf.float32)
            for name, tower in self.towers.items()
        }
        if self.entire_space:
            first = logits[self.first]
            logits = {
                name: first if name == self.first else logit_of_both(first, own)
                for name, own in logits.items()
            }
        return tf.concat([logits[name] for name in self.names], axis=1)


def logit_of_both(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return the logit of the product of two probabilities, given by their logits.

    1/(σ(a)·σ(b)) − 1 is exp(−a) + exp(−b) + exp(−a−b), whose logarithm does not overflow.

    Examples
    --------
    >>> p = tf.sigmoid(logit_of_both(tf.constant([0.0]), tf.constant([0.0])))
    >>> round(float(p[0]), 6)
    0.25
    """
    return -tf.reduce_logsumexp(tf.stack([-one, -other, -one - other]), axis=0)
