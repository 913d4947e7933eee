"""Negatives drawn uniformly."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.objectives.negatives.base import CatalogueNegatives, Drawing


class UniformNegatives(CatalogueNegatives):
    """Items drawn from the catalogue, each with the same probability."""

    kind: ClassVar[str] = "uniform"

    def power(self, drawing: Drawing) -> float:
        return 0.0
