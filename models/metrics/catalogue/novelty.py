"""Novelty of the items recommended."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import Floats, ItemMetric


class Novelty(ItemMetric):
    """Mean self-information -log2 p(item) of the items recommended.

    p is the item's share of all training interactions; an item without any counts as having one
    (Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems";
    Vargas and Castells 2011, "Rank and relevance in novelty and diversity metrics for recommender
    systems"). With p a share of users instead, as in Zhou et al. and RecTools, it is lower by
    log2(interactions / users) for every item.
    """

    kind: ClassVar[str] = "novelty"
    order: ClassVar[int] = 70

    def of_items(self, counts: Floats) -> Floats:
        found: Floats = -np.log2(np.maximum(counts, 1) / counts.sum())
        return found
