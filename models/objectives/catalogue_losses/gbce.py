"""Binary cross-entropy against drawn items, calibrated."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import CatalogueItems, SampledLoss, Targets


class CalibratedBCE(SampledLoss):
    """gBCE (Petrov & Macdonald, RecSys 2023): the positive's probability is raised to a power.

    Few negatives make plain binary cross-entropy overconfident. With the sampling rate
    α = negatives / (items − 1) and the calibration t, the power is α (t (1 − 1/α) + 1/α).
    """

    kind: ClassVar[str] = "gbce"

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__(items, config, seed)
        rate = min(config.num_negatives / max(len(items) - 1, 1), 1.0)
        self._power = rate * (config.calibration * (1 - 1 / rate) + 1 / rate)

    def draw(self, count: int) -> tf.Tensor:
        """Return the positions of items drawn uniformly, as in the paper, int32 ``(count,)``."""
        step = self.draws.assign_add(1)
        return tf.random.stateless_uniform(
            [count],
            seed=tf.stack([tf.constant(self._seed, tf.int64), step]),
            maxval=len(self._items),
            dtype=tf.int32,
            alg="philox",
        )

    def __call__(self, targets: Targets) -> tf.Tensor:
        negatives = self._embed(self.draw(self._config.num_negatives))
        positives = self._embed(tf.cast(targets.items, tf.int32))
        asked = tf.gather(targets.queries, targets.rows)
        right = tf.reduce_sum(asked * positives, axis=1) / self._config.temperature
        wrong = tf.matmul(targets.queries, negatives, transpose_b=True) / self._config.temperature
        against = tf.reduce_sum(tf.nn.softplus(wrong), axis=1)
        each = self._power * tf.nn.softplus(-right) + tf.gather(against, targets.rows)
        losses = targets.weights * each
        mean = tf.reduce_sum(losses) / tf.cast(tf.shape(targets.queries)[0], tf.float32)
        return mean + self.penalty(targets.queries, negatives)
