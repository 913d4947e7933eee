"""The baseline ALS, by the library `implicit`."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp

from towermill.models.architectures.linear.als_weights import als_factors, fold_in
from towermill.models.baselines.base import Given
from towermill.models.baselines.linear import Floats, LinearBaseline
from towermill.models.configs.linear.als import AlsConfig


class Als(LinearBaseline):
    """ALS with the defaults of the kind; needs the package `implicit`.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> BASELINES.get("als").__name__
    'Als'
    """

    kind: ClassVar[str] = "als"

    def fit(self, given: Given) -> Floats:
        told = AlsConfig().model_dump(exclude={"kind"})
        return als_factors(given.matrix, **told, seed=given.seed)

    def of_histories(self, weights: Floats, histories: sp.csr_matrix) -> Floats:
        scores: Floats = fold_in(histories, weights, AlsConfig().alpha) @ weights.T
        return scores
