"""Popularity of recommendations beside that of users' own choices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from towermill.models.metrics.catalogue.base import OverallMetric, Shown, list_means


class PopularityRatio(OverallMetric):
    """Mean popularity of the recommended items, divided by that of the queries' profiles.

    Above 1, recommendations are more popular than what the users chose themselves (1 + ΔGAP of
    Abdollahpouri et al. 2019, "The unfairness of popularity bias in recommendation", the counted
    queries being the group). Needs training counts and profiles.
    """

    kind: ClassVar[str] = "popularity_ratio"
    order: ClassVar[int] = 100

    def overall(self, shown: Shown, cut: int) -> float | None:
        if shown.counts is None or shown.profiles is None:
            return None
        counts, profiles = shown.counts, shown.profiles
        total = np.bincount(profiles.rows, counts[profiles.values], len(profiles))
        own = total / np.maximum(profiles.lengths, 1)
        average = list_means(shown.positions, counts, [cut])[cut]
        both = shown.counted & ~np.isnan(average) & (own > 0)
        return float(average[both].mean() / own[both].mean()) if both.any() else None
