"""Softmax cross-entropy against items drawn from the catalogue."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import SampledLoss, Targets


class SampledSoftmax(SampledLoss):
    """Cross-entropy with an estimate of the sum over the catalogue (Bengio & Senécal, 2008).

    Each drawn item's logit is corrected by the log of how often it is expected (logQ; Yi et al.,
    RecSys 2019), so that the sum over the drawn items estimates that over the catalogue.
    """

    kind: ClassVar[str] = "sampled_softmax"

    def __call__(self, targets: Targets) -> tf.Tensor:
        drawn = self.draw(self._config.num_negatives)
        negatives, positives = self._embed(drawn), self._embed(tf.cast(targets.items, tf.int32))
        asked = tf.gather(targets.queries, targets.rows)
        right = tf.reduce_sum(asked * positives, axis=1) / self._config.temperature
        wrong = tf.matmul(targets.queries, negatives, transpose_b=True) / self._config.temperature
        total = tf.reduce_logsumexp(wrong - self.log_expected(drawn), axis=1)
        # log(exp(right) + exp(total)): the target itself is always among the candidates.
        gap = tf.gather(total, targets.rows) - right
        losses = targets.weights * tf.nn.softplus(gap)
        mean = tf.reduce_sum(losses) / tf.cast(tf.shape(targets.queries)[0], tf.float32)
        return mean + self.penalty(targets.queries, negatives)
