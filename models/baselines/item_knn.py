"""The baseline of item-based nearest neighbours."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp

from towermill.models.architectures.linear.knn_weights import neighbour_matrix
from towermill.models.baselines.base import Given
from towermill.models.baselines.linear import Floats, LinearBaseline
from towermill.models.configs.linear.item_knn import ItemKnnConfig


class ItemKnn(LinearBaseline):
    """Nearest neighbours of the items with the defaults of the kind, of any catalogue.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> BASELINES.get("item_knn").__name__
    'ItemKnn'
    """

    kind: ClassVar[str] = "item_knn"

    def fit(self, given: Given) -> sp.csr_matrix:
        told = ItemKnnConfig()
        bm25 = told.weighting == "bm25"
        return neighbour_matrix(given.matrix, told.neighbours, told.shrink, bm25=bm25)

    def of_histories(self, weights: sp.csr_matrix, histories: sp.csr_matrix) -> Floats:
        scores: Floats = (histories @ weights).toarray()
        return scores
