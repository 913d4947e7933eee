"""Mean reciprocal rank within impressions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.impressions.base import Floats, ImpressionMetric, Standing


class MeanReciprocalRank(ImpressionMetric):
    """Mean over the clicked entries of 1 / rank, as the MIND and the EB-NeRD competition define it.

    Wu et al., ACL 2020, "MIND: a large-scale dataset for news recommendation"; Kruse et al., RecSys
    Challenge 2024, "EB-NeRD: a large-scale dataset for news recommendation". With several clicks
    this is not 1 / rank of the first (Voorhees 1999), which is larger.
    """

    kind: ClassVar[str] = "mrr"
    order: ClassVar[int] = 20

    def per_impression(self, standing: Standing, cut: int) -> Floats:
        longest = int(standing.lengths.max(initial=0))
        weights = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, longest + 1))])
        return standing.sum(standing.mean_weight(weights)) / standing.clicked
