"""The contract of negatives. Nothing here imports TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID


@dataclass(frozen=True)
class Drawing:
    """Settings of the drawing of negatives.

    Attributes
    ----------
    item_tower
        Called on the features of drawn items.
    items
        Features of the catalogue in Merlin's form, row i the item of encoded id i + 3.
    id_counts
        int64, ``(items + 3,)``: training rows of each encoded id.
    num_negatives
        Drawn a batch, or a row.
    popularity_power
        Popularity is the training count to this power.
    batch_size
        Rows a training step.
    seed
        Seed of the draws.
    own
        Draw for each row of the batch.
    """

    item_tower: Any
    items: Mapping[str, NDArray[Any]]
    id_counts: NDArray[np.int64]
    num_negatives: int
    popularity_power: float
    batch_size: int
    seed: int
    own: bool = False

    def weights(self, power: float) -> NDArray[np.float64]:
        """Return the training count of each item to a power, float64 ``(items,)``."""
        return np.power(self.id_counts[FIRST_ID:].astype(np.float64), power)


class Negatives(ABC):
    """A source of negatives.

    Attributes
    ----------
    kind
        Its name.
    per_row
        Whether they can be drawn for each row (`model.own_negatives`).
    """

    kind: ClassVar[str]
    per_row: ClassVar[bool] = False

    @abstractmethod
    def sampler(self, drawing: Drawing) -> Any:
        """Return a `merlin.models.tf.outputs.sampling.base.CandidateSampler`.

        It knows the sampling probability of each item, for the logQ correction.
        """


class CatalogueNegatives(Negatives):
    """Items drawn from the catalogue by their training count to a power."""

    per_row: ClassVar[bool] = True

    @abstractmethod
    def power(self, drawing: Drawing) -> float:
        """Return the power; 0 draws each item with the same probability."""

    def sampler(self, drawing: Drawing) -> Any:
        from towermill.models.objectives.samplers import Catalogue

        return Catalogue(
            drawing.item_tower,
            drawing.items,
            drawing.weights(self.power(drawing)),
            drawing.num_negatives,
            drawing.seed,
            drawing.own,
        )
