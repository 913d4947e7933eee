"""Mean average precision of ranked lists."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import Floats, HitMetric, Hits


class AveragePrecision(HitMetric):
    r"""Mean over hits of the precision at their places, by min(\|R\|, k).

    As RecBole; RecTools divides by \|R\|, or by k with ``divide_by_k=True``. scikit-learn has no
    average precision at k: its ``label_ranking_average_precision_score`` ranks the whole catalogue,
    divides by \|R\| and takes ties pessimistically.
    """

    kind: ClassVar[str] = "map"
    order: ClassVar[int] = 60

    def per_query(self, hits: Hits) -> Floats:
        return hits.sum(hits.nth / (hits.places + 1)) / np.minimum(hits.sizes, hits.cut)
