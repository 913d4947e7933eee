"""In-batch negatives."""

from __future__ import annotations

from typing import Any, ClassVar

from towermill.models.objectives.negatives.base import Drawing, Negatives


class InBatchNegatives(Negatives):
    """The positives of the other rows of a batch (Hidasi et al., ICLR 2016)."""

    kind: ClassVar[str] = "in_batch"

    def sampler(self, drawing: Drawing) -> Any:
        from towermill.models.objectives.samplers import InBatch

        return InBatch(drawing.id_counts)
