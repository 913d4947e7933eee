"""In-batch and uniform negatives together."""

from __future__ import annotations

from typing import Any, ClassVar

from towermill.models.objectives.negatives.base import Drawing, Negatives


class MixedNegatives(Negatives):
    """In-batch negatives, and others drawn uniformly (Yang et al., WWW 2020)."""

    kind: ClassVar[str] = "mixed"

    def sampler(self, drawing: Drawing) -> Any:
        from towermill.models.objectives.negatives.uniform import UniformNegatives
        from towermill.models.objectives.samplers import InBatch, Mixed

        catalogue = UniformNegatives().sampler(drawing)
        return Mixed(InBatch(drawing.id_counts), catalogue, drawing.batch_size)
