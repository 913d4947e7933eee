"""Area under the ROC curve within impressions."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.metrics.impressions.base import Floats, ImpressionMetric, Standing


class AUC(ImpressionMetric):
    """Chance that a clicked entry scores higher than one that was not, ties counted half.

    Fawcett 2006, "An introduction to ROC analysis"; as scikit-learn's ``roc_auc_score``. NaN for an
    impression of which all or nothing was clicked.
    """

    kind: ClassVar[str] = "auc"
    order: ClassVar[int] = 10

    def per_impression(self, standing: Standing, cut: int) -> Floats:
        clicked, lengths = standing.clicked, standing.lengths
        below = lengths[standing.rows] - standing.above - standing.equal
        # A clicked entry was compared with all clicked ones, itself included: half of those pairs.
        pairs = standing.sum(below + standing.equal / 2) - clicked**2 / 2
        return pairs / (clicked * (lengths - clicked))
