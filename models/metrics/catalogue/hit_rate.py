"""Hit rate of ranked lists."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class HitRate(HitMetric):
    r"""1 if there is a hit, else 0."""

    kind: ClassVar[str] = "hit_rate"
    order: ClassVar[int] = 30

    def per_query(self, hits: Hits) -> Floats:
        return (hits.sum() > 0).astype(np.float64)
