"""Normalised discounted cumulative gain of ranked lists."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class NDCG(HitMetric):
    r"""Discounted gain of the hits by the largest that it could be.

    Σ 1 / log2(i + 1) over places i of hits, by its ideal Σ_{i≤min(\|R\|,k)} 1 / log2(i + 1)
    (Järvelin and Kekäläinen 2002, binary gain). As RecBole and scikit-learn; RecTools' default sums
    its ideal to k, whatever \|R\| is, and agrees with ``divide_by_achievable=True``.
    """

    kind: ClassVar[str] = "ndcg"
    order: ClassVar[int] = 40

    def per_query(self, hits: Hits) -> Floats:
        discounts = 1 / np.log2(np.arange(2, hits.cut + 2))
        ideal = np.cumsum(discounts)
        found: Floats = (
            hits.sum(discounts[hits.places]) / ideal[np.minimum(hits.sizes, hits.cut) - 1]
        )
        return found
