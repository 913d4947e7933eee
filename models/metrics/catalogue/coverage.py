"""Coverage of the catalogue."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import OverallMetric, Shown


class Coverage(OverallMetric):
    """Share of the catalogue in the top k of at least one counted query.

    Herlocker et al. 2004, "Evaluating collaborative filtering recommender systems".
    """

    kind: ClassVar[str] = "coverage"
    order: ClassVar[int] = 90

    def overall(self, shown: Shown, cut: int) -> float | None:
        found = np.zeros(shown.catalogue + 1, bool)  # the last one is shown by -1
        found[shown.positions[shown.counted, :cut]] = True
        return float(found[:-1].mean())
