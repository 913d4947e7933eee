"""Normalised discounted cumulative gain within impressions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.impressions.base import Floats, ImpressionMetric, Standing


class ImpressionNDCG(ImpressionMetric):
    """Σ over clicked entries of 1 / log2(rank + 1) where rank ≤ k, by the largest it could be.

    Järvelin and Kekäläinen 2002, binary gain; ties as McSherry and Najork 2008, "Computing
    information retrieval performance measures efficiently in the presence of tied scores"; as
    scikit-learn's ``ndcg_score``.
    """

    kind: ClassVar[str] = "ndcg"
    order: ClassVar[int] = 30
    at_k: ClassVar[bool] = True

    def per_impression(self, standing: Standing, cut: int) -> Floats:
        longest = int(standing.lengths.max(initial=0))
        gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, longest + 2)))])
        weights = gains[np.minimum(np.arange(longest + 1), cut)]
        found: Floats = standing.sum(standing.mean_weight(weights)) / weights[standing.clicked]
        return found
