"""Binary cross-entropy against drawn items, calibrated."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import (
    CatalogueItems,
    SampledCatalogueLoss,
    Targets,
)
from towermill.models.objectives.draws import uniform_whole


class CalibratedBCE(SampledCatalogueLoss):
    """gBCE (Petrov & Macdonald, RecSys 2023): the positive's probability is raised to a power.

    Few negatives make plain binary cross-entropy overconfident. With the sampling rate
    α = negatives / (items − 1) and the calibration t, the power is α (t (1 − 1/α) + 1/α).
    """

    kind: ClassVar[str] = "gbce"

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__(items, config, seed)
        rate = min(config.num_negatives / max(len(items) - 1, 1), 1.0)
        self._power = rate * (config.calibration * (1 - 1 / rate) + 1 / rate)

    def positions(self, count: int, step: tf.Tensor) -> tf.Tensor:
        """Draw uniformly, as in the paper, int32 ``(count,)``."""
        return uniform_whole([count], 0, len(self._items), self._seed, step)

    def __call__(self, targets: Targets) -> tf.Tensor:
        drawn = self.draw(targets)
        against = tf.reduce_sum(tf.nn.softplus(drawn.wrong), axis=1)
        each = self._power * tf.nn.softplus(-drawn.right) + tf.gather(against, targets.rows)
        return self.total(each, targets, drawn.items)
