"""Negatives drawn by popularity."""

from __future__ import annotations

from typing import Any, ClassVar

from towermill.models.objectives.negatives.base import Drawing, Negatives


class PopularityNegatives(Negatives):
    """Items drawn from the catalogue by their training count to `model.popularity_power`."""

    kind: ClassVar[str] = "popularity"
    per_row: ClassVar[bool] = True

    def sampler(self, drawing: Drawing) -> Any:
        from towermill.models.objectives.samplers import Catalogue

        return Catalogue(
            drawing.item_tower,
            drawing.items,
            drawing.weights(drawing.popularity_power),
            drawing.num_negatives,
            drawing.seed,
            drawing.own,
        )
