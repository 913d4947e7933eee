"""A loss and negatives for the two-tower."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.objectives.negatives.base import Drawing, Negatives
from towermill.models.objectives.samplers import Catalogue


class Hinge(tf.keras.losses.Loss):
    """Mean over negatives of max(0, 1 − positive + negative) (Weston et al., IJCAI 2011)."""

    kind: ClassVar[str] = "hinge"
    logq: ClassVar[bool] = False

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each row: the first column of `y_pred` is the positive's logit."""
        return tf.reduce_mean(tf.nn.relu(1 - y_pred[:, :1] + y_pred[:, 1:]), axis=1)


class SquareRoot(Negatives):
    """Items drawn in proportion to the square root of their training counts."""

    kind: ClassVar[str] = "square_root"
    per_row: ClassVar[bool] = True

    def sampler(self, drawing: Drawing) -> Any:
        """Return the sampler of one training."""
        weights = drawing.weights(power=0.5)
        return Catalogue(
            drawing.item_tower,
            drawing.items,
            weights,
            drawing.num_negatives,
            drawing.seed,
            drawing.own,
        )
