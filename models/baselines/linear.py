"""The base class of linear baselines, which score the items by those of a history."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from towermill.models.baselines.base import Baseline, Given
from towermill.models.data.lists import ScoreBlock
from towermill.models.data.queries import Queries

Floats = NDArray[np.float32]


class LinearBaseline(Baseline):
    """A baseline that scores the items by those of a history."""

    def scores(self, given: Given, queries: Queries) -> ScoreBlock:
        weights = self.fit(given)
        return partial(self.block, given, weights, given.histories(queries))

    @abstractmethod
    def fit(self, given: Given) -> Any:
        """Return what `of_histories` scores by."""

    @abstractmethod
    def of_histories(self, weights: Any, histories: sp.csr_matrix) -> Floats:
        """Return scores ``(queries, items)``; items are rows of `Processed.items`."""

    def block(
        self, given: Given, weights: Any, histories: sp.csr_matrix, start: int, stop: int
    ) -> Floats:
        scores = self.of_histories(weights, histories[start:stop])
        return scores[:, given.data.ranking_order]
