"""The baseline EASE, whose weight is chosen on the validation split."""

from __future__ import annotations

import logging
from functools import partial
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from towermill.models.architectures.linear.ease_weights import EXACT_UP_TO, Spectrum, ease_vectors
from towermill.models.baselines.base import Given
from towermill.models.baselines.linear import Floats, LinearBaseline
from towermill.models.configs.linear.ease import EaseConfig
from towermill.models.data.interactions import Processed
from towermill.models.data.queries import Queries
from towermill.models.evaluation.top_k import top_k
from towermill.models.metrics.catalogue.ranking import per_query

logger = logging.getLogger(__name__)


class Ease(LinearBaseline):
    """EASE, with the best of three weights on a sample of the validation split.

    Up to 4,000 items it is exact; above that its embeddings have 256 dimensions.

    Examples
    --------
    >>> from towermill.models.baselines import BASELINES
    >>> BASELINES.get("ease").__name__
    'Ease'
    """

    kind: ClassVar[str] = "ease"
    #: Weights that are tried: one eigendecomposition is enough for all.
    l2: ClassVar[tuple[float, ...]] = (100.0, 300.0, 1000.0)
    #: Limits of `affordable`: about a minute on two cores.
    most_items: ClassVar[int] = 20_000
    most_rows: ClassVar[int] = 10_000_000

    def affordable(self, data: Processed) -> bool:
        return data.items.height <= self.most_items and data.rows("train") <= self.most_rows

    def fit(self, given: Given) -> tuple[Floats, Floats]:
        items = given.data.items.height
        dim = items if items <= EXACT_UP_TO else 256
        spectrum = Spectrum.of(given.matrix, dim)
        if given.validation is None or not len(given.validation):
            return ease_vectors(spectrum, EaseConfig().l2, dim)
        best, found = -1.0, ease_vectors(spectrum, self.l2[0], dim)
        histories = given.histories(given.validation)
        for l2 in self.l2:
            vectors = ease_vectors(spectrum, l2, dim)
            value = self._ndcg(given, given.validation, vectors, histories)
            logger.debug("The baseline ease with l2 %g: ndcg@10 %.4f on validation", l2, value)
            if value > best:
                best, found = value, vectors
        return found

    def of_histories(self, weights: tuple[Floats, Floats], histories: sp.csr_matrix) -> Floats:
        query, item = weights
        scores = np.asarray(histories @ query) @ item.T
        # EASE's matrix has a zero diagonal: an item adds nothing to its own score.
        own: Floats = histories.multiply((query * item).sum(axis=1)).toarray()
        return scores - own

    def _ndcg(
        self, given: Given, queries: Queries, vectors: tuple[Floats, Floats], read: sp.csr_matrix
    ) -> float:
        items = given.data.items.height
        block = partial(self.block, given, vectors, read)
        top = top_k(block, len(queries), items, 10, queries.seen)
        found = per_query(top, queries.relevant, (10,), None, items)["ndcg@10"]
        return float(np.nanmean(found))
