"""Softmax cross-entropy over the whole catalogue."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import CatalogueLoss, Targets, hide


class FullSoftmax(CatalogueLoss):
    """Cross-entropy of each target among all items."""

    kind: ClassVar[str] = "softmax"

    def __call__(self, targets: Targets) -> tf.Tensor:
        items = self.all_items()
        logits = tf.matmul(targets.queries, items, transpose_b=True) / self._config.temperature
        pairs = tf.stack([targets.rows, targets.items], axis=1)
        total = tf.reduce_logsumexp(hide(logits, targets.hidden, pairs), axis=1)
        right = tf.gather_nd(logits, pairs)
        return self.total(tf.gather(total, targets.rows) - right, targets, items)
