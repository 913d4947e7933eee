"""Precision of ranked lists."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class Precision(HitMetric):
    r"""H / k: hits among the k places, also where fewer than k items could be recommended."""

    kind: ClassVar[str] = "precision"
    order: ClassVar[int] = 20

    def per_query(self, hits: Hits) -> Floats:
        return hits.sum() / hits.cut
