"""The input of metrics within impressions: entries that score above and equal to each click."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from towermill.models.data.ragged import Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """The positions of the clicks of a block of impressions, its entries ordered by score.

    Entries with one score are in no order: a metric is its expectation over all their orders.

    Attributes
    ----------
    rows
        int64 ``(clicks,)``: the impression of each click, ascending.
    above, equal
        int64 ``(clicks,)``: entries of its impression that score higher, and the same (itself
        among them).
    clicked, lengths
        int64 ``(impressions,)``: clicks, and entries.
    """

    rows: Ints
    above: Ints
    equal: Ints
    clicked: Ints
    lengths: Ints

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over each impression's clicks, ``(impressions,)``."""
        return np.bincount(self.rows, values, len(self.clicked))

    def mean_weight(self, weights: Floats) -> Floats:
        """Return each click's mean weight over the places it may have, ``(clicks,)``.

        `weights` are summed over the first n places, from n = 0: tied entries share their places,
        each as likely in every one.
        """
        mean: Floats = (weights[self.above + self.equal] - weights[self.above]) / self.equal
        return mean


class ImpressionMetric(ABC):
    """A metric within impressions; averaged over those where it is defined.

    Attributes
    ----------
    kind
        Its name.
    order
        Its place in reports, the lowest first.
    at_k
        Whether it has cut-offs: a result is called ``kind@k``, else ``kind``.
    monitors
        Whether training can be stopped by it: whether more is better.
    """

    kind: ClassVar[str]
    order: ClassVar[int] = 1000
    at_k: ClassVar[bool] = False
    monitors: ClassVar[bool] = True

    @abstractmethod
    def per_impression(self, standing: Standing, cut: int) -> Floats:
        """Return float64 ``(impressions,)``, NaN where it is not defined; `cut` is 0 without."""
