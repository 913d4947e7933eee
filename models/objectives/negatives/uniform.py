"""Negatives drawn uniformly."""

from __future__ import annotations

from typing import Any, ClassVar

from towermill.models.objectives.negatives.base import Drawing, Negatives


class UniformNegatives(Negatives):
    """Items drawn from the catalogue, each with the same probability."""

    kind: ClassVar[str] = "uniform"
    per_row: ClassVar[bool] = True

    def sampler(self, drawing: Drawing) -> Any:
        from towermill.models.objectives.samplers import Catalogue

        return Catalogue(
            drawing.item_tower,
            drawing.items,
            drawing.weights(0.0),
            drawing.num_negatives,
            drawing.seed,
            drawing.own,
        )
