"""Softmax cross-entropy against items drawn from the catalogue."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import (
    CatalogueItems,
    SampledCatalogueLoss,
    Targets,
)
from towermill.models.objectives.draws import weighted_whole


class SampledSoftmax(SampledCatalogueLoss):
    """Cross-entropy with an estimate of the sum over the catalogue (Bengio & Senécal, 2008).

    Each drawn item's logit is corrected by the log of how often it is expected (logQ; Yi et al.,
    RecSys 2019), so that the sum over the drawn items estimates that over the catalogue.
    """

    kind: ClassVar[str] = "sampled_softmax"

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__(items, config, seed)
        weights = np.maximum(items.counts, 1).astype(np.float64)
        self._probability = tf.constant(weights / weights.sum(), tf.float32)
        self._cumulative = tf.constant(np.cumsum(weights / weights.sum()))

    def positions(self, count: int, step: tf.Tensor) -> tf.Tensor:
        """Draw by popularity, int32 ``(count,)``."""
        return weighted_whole(count, self._cumulative, self._seed, step)

    def __call__(self, targets: Targets) -> tf.Tensor:
        drawn = self.draw(targets)
        share = tf.gather(self._probability, drawn.positions)
        expected = tf.math.log(share * self._config.num_negatives)
        total = tf.reduce_logsumexp(drawn.wrong - expected, axis=1)
        # log(exp(right) + exp(total)): the target itself is always among the candidates.
        gap = tf.gather(total, targets.rows) - drawn.right
        return self.total(tf.nn.softplus(gap), targets, drawn.items)
