"""Recall of ranked lists."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class Recall(HitMetric):
    r"""H / \|R\|: hits among the relevant items.

    As in RecTools and RecBole; others cap \|R\| at k.
    """

    kind: ClassVar[str] = "recall"
    order: ClassVar[int] = 10

    def per_query(self, hits: Hits) -> Floats:
        return hits.sum() / hits.sizes
