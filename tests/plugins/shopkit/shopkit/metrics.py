"""A metric: rank-biased precision."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits

#: Probability that a customer looks at the next product as well.
PERSISTENCE = 0.8


class RankBiasedPrecision(HitMetric):
    """(1 − p) Σ p^place over the hits, p = 0.8 (Moffat & Zobel, TOIS 2008)."""

    kind: ClassVar[str] = "rbp"
    order: ClassVar[int] = 60

    def per_query(self, hits: Hits) -> Floats:
        """Return the metric of each query."""
        return (1 - PERSISTENCE) * hits.sum(PERSISTENCE**hits.places)
