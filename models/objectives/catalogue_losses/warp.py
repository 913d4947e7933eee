"""Weighted approximate-rank pairwise loss against drawn items."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from towermill.models.objectives.catalogue_losses.base import (
    CatalogueItems,
    Drawn,
    SampledCatalogueLoss,
    Targets,
)
from towermill.models.objectives.draws import uniform_whole


class WARP(SampledCatalogueLoss):
    """WARP (Weston et al., IJCAI 2011): the hinge of the first violating item, weighted by rank.

    Items are drawn until one scores above the target less a margin of 1. The more draws that took,
    the better the target ranks: its rank is estimated as ⌊(items − 1) / draws⌋, and the weight of
    the hinge is 1 + 1/2 + … + 1/rank. A target that no drawn item violates has no loss. The items
    of a query are no negatives of it. All targets of a step share the draws.
    """

    kind: ClassVar[str] = "warp"

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__(items, config, seed)
        weights = np.cumsum(1 / np.arange(1, len(items) + 1))
        self._weights = tf.constant(np.concatenate([[0.0], weights]), tf.float32)

    def positions(self, count: int, step: tf.Tensor) -> tf.Tensor:
        """Draw uniformly, as in the paper, int32 ``(count,)``."""
        return uniform_whole([count], 0, len(self._items), self._seed, step)

    def __call__(self, targets: Targets) -> tf.Tensor:
        drawn = self.draw(targets)
        wrong = tf.where(_own(drawn, targets), -1e9, drawn.wrong)
        margins = 1 - drawn.right[:, None] + tf.gather(wrong, targets.rows)
        violates = margins > 0
        first = tf.argmax(tf.cast(violates, tf.int32), axis=1, output_type=tf.int32)
        rank = (len(self._items) - 1) // (first + 1)
        hinge = tf.nn.relu(tf.gather(margins, first, batch_dims=1))
        return self.total(tf.gather(self._weights, rank) * hinge, targets, drawn.items)


def _own(drawn: Drawn, targets: Targets) -> tf.Tensor:
    """Return which drawn items are no negatives of a query: bool ``(queries, negatives)``."""
    pairs = tf.stack([tf.cast(targets.rows, tf.int64), tf.cast(targets.items, tf.int64)], axis=1)
    if targets.hidden is not None:
        pairs = tf.concat([pairs, targets.hidden], axis=0)
    same = tf.cast(pairs[:, 1:] == tf.cast(drawn.positions, tf.int64)[None, :], tf.int32)
    return tf.math.unsorted_segment_max(same, pairs[:, 0], tf.shape(targets.queries)[0]) > 0
