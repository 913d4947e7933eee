"""Popularity of the items recommended."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.metrics.catalogue.base import Floats, ItemMetric


class AveragePopularity(ItemMetric):
    """Mean training count of the items recommended.

    ARP of Yin et al. 2012, "Challenging the long tail recommendation".
    """

    kind: ClassVar[str] = "average_popularity"
    order: ClassVar[int] = 80

    def of_items(self, counts: Floats) -> Floats:
        return counts
