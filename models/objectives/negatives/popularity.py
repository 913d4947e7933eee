"""Negatives drawn by popularity."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.objectives.negatives.base import CatalogueNegatives, Drawing


class PopularityNegatives(CatalogueNegatives):
    """Items drawn from the catalogue by their training count to `model.popularity_power`."""

    kind: ClassVar[str] = "popularity"

    def power(self, drawing: Drawing) -> float:
        return drawing.popularity_power
