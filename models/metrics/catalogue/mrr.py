"""Mean reciprocal rank of ranked lists."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class MRR(HitMetric):
    r"""1 / place of the first hit, 0 without one in the top k (Voorhees 1999)."""

    kind: ClassVar[str] = "mrr"
    order: ClassVar[int] = 50

    def per_query(self, hits: Hits) -> Floats:
        first = hits.sum((hits.nth == 1) / (hits.places + 1))
        return first.astype(np.float64)  # integers where nothing is hit
